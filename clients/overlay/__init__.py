"""The desktop overlay: captions over any window. Nothing else of this package needs Qt."""

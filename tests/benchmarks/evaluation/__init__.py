"""How well and how early words are written down, on a corpus that is made here: `make eval`."""

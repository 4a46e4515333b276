"""`python -m streamer` is `granite-stream`."""

from __future__ import annotations

import sys

from streamer.command import main

if __name__ == "__main__":
    sys.exit(main())

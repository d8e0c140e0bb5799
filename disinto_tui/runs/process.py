"""The entry point of a run's own process; see `launch`."""

from __future__ import annotations

import sys

from disinto_tui.runs.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

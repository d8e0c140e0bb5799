"""`python -m disinto_tui`."""

from disinto_tui.cli.entry import main

if __name__ == "__main__":
    main()

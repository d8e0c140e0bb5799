"""The headless interface: click commands over `runs`. `output.py` alone writes to stdout."""

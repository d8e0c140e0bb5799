"""Disinto: versioned agent images for a code factory, as a terminal UI and a headless CLI."""

__version__ = "0.1.0"

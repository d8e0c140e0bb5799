"""The outside world, one thin file for each part of it. Nothing here decides what a factory should be."""

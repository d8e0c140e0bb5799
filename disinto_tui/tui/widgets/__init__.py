"""Widgets of our own: each paints only what is visible and has no timer while nothing happens."""

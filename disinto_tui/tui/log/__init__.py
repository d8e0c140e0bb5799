"""The log view: where lines come from, which rows are on the screen, searching, painting."""

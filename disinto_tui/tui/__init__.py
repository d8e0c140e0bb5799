"""The terminal UI: a reader of the same events the CLI reads. No domain work happens here."""

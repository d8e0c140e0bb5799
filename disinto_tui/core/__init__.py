"""Pure: bytes and data in, data out. No I/O, no clock, no terminal, no engine, no network."""

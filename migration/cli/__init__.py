"""The command line: what people type, and the session that a command works in."""

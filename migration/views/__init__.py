"""What a command found or did, as one dataclass: the same fields are its JSON document and the source of its lines."""

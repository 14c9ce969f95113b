"""SQL in, domain objects out; nothing here commits or decides."""

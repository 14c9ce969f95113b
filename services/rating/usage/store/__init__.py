"""Usage in the database: SQL in, domain objects out; nothing here commits or decides."""

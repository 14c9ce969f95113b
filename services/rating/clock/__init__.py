"""Clock: what becomes due as time passes, by the machine's clock or a test clock."""

"""Clock: what is due as time passes, the machine's or a test clock's."""

"""Messages to domain objects, which may refuse them, and domain objects to messages, which never fails."""

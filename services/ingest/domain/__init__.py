"""What the log decides: whether an event is well formed, what identifies it, and whether it can be billed. Pure."""

"""What the log decides: whether an event is well formed, who it is, and whether it can be billed. Pure."""

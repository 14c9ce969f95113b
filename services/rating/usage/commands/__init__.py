"""What happens to usage: each function runs in its caller's transaction."""

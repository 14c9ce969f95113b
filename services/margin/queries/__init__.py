"""What can be read without changing anything; each function opens its own transaction."""

"""What can be read of the log."""

"""What can be read; nothing here changes anything."""

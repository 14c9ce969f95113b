"""The `farebox` command."""

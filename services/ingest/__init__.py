"""The usage-event log: every event exactly once."""

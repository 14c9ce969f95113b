"""What a right to a feature means: pure values and decisions, no I/O, no clock."""

"""What a right to a feature means: pure values and decisions, without I/O or clock."""

"""What usage costs, what it earns, and what is left."""

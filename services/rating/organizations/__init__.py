"""Organizations: the businesses that bill their customers, their keys and their present time."""

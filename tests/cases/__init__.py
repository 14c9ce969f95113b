"""Reference cases: worked figures of other systems, and the actions that lead to them."""

"""Reference cases: worked figures of others, and what is done to arrive at them."""

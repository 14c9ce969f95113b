"""Messages ⇄ domain objects: reading a message may refuse it, writing one never fails."""

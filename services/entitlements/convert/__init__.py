"""Messages ⇄ domain values: reading a message may refuse it, writing one never fails."""

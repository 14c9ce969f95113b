"""The rules of cost, revenue and margin: pure functions over frozen values."""

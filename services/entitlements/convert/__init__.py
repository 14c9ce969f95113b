"""Protos ⇄ domain values: what comes in may be refused, what goes out never fails."""

"""Queries: what can be read without changing anything."""

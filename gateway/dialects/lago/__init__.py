"""Lago's public API: one file for each resource. Nozle's Core is Lago's API, so Nozle's dialect uses all of these."""

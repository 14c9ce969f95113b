"""Lago's public API: one file a resource. Nozle's Core is Lago's API, so Nozle's dialect takes these whole."""

"""Entitlements: what a customer may do now, counted against limits that are never overspent, and pushed at once."""

"""Catalog: an organization's metrics, plans, coupons and taxes, with their versions."""

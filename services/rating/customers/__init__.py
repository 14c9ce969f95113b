"""Customers: who is billed, and the coupons they hold."""

"""Customers: who is billed, and the coupons in their hands."""

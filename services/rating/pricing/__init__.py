"""Pricing: what is sold, and what units of it cost. Pure: metrics, plans, charges, fees, taxes, coupons, proration."""

"""Stripe's meter events, so that what reports usage to Stripe reports it here by another base address."""

"""Stripe's meter events: a program that reports usage to Stripe reports it here after a change of the base URL."""

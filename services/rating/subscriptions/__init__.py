"""Subscriptions: the verbs that move agreements from plan to plan, and their invoices with them."""

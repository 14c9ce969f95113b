"""Subscriptions: the verbs that move agreements from plan to plan, with the invoices this causes."""

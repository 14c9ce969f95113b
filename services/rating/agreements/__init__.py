"""Agreements: a subscription with its agreed terms, and how a change of plan moves it. Pure, with its store."""

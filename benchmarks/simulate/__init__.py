"""Years of subscriptions through rating's real commands on real PostgreSQL, with a virtual clock."""

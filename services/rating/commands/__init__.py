"""Commands: each is one thing that can be asked, in one transaction, with its domain events in the outbox."""

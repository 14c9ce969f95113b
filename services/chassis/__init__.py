"""What every process stands on: configuration, log, database, outbox, inbox, bus, rpc, life cycle.

Knows nothing of billing.
"""

"""The base of every process: configuration, log, database, outbox, inbox, bus, rpc, life cycle.

It knows nothing of billing.
"""

"""Farebox on one machine: PostgreSQL and NATS from wheels, every service and the gateway as child processes.

For people who try it, for tests and benchmarks; nothing that runs in production imports this room.
"""

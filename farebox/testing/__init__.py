"""A real billing system for the tests of any application: PostgreSQL, NATS, the four services and the gateway.

Installed with `farebox[testing]`, pytest knows the fixture `farebox`, a fresh organization for each test:

    def test_calls_are_billed(farebox: Farebox) -> None:
        farebox.set_clock("2024-01-01T00:00:00Z")
        ...                                                  # sell and use, with any client of farebox.url
        farebox.advance_clock("2024-02-01T00:00:00Z")        # a month passes, and its invoices are there

Without pytest, `with running() as server: server.new_organization()` is the same. See docs/testing.md.
"""

from farebox.testing.organization import Farebox
from farebox.testing.rest import Rest
from farebox.testing.server import FareboxServer, ServerOptions, running

__all__ = ["Farebox", "FareboxServer", "Rest", "ServerOptions", "running"]

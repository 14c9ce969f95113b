"""Invoices, fees and usage between the wire and the domain."""

"""Sums that do not depend on the order of their parts."""

from __future__ import annotations

from decimal import Context

# Sums must not depend on order, so nothing may be rounded on the way: 38 digits with exponents of ±68, times 17 digits
# of microseconds, times the events of a period, fit into 150 digits. Units leave with the usual 50.
_EXACT = Context(prec=150)
exact_sum = _EXACT.add
exact_difference = _EXACT.subtract
exact_product = _EXACT.multiply

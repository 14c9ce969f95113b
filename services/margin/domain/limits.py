"""Bounds of what margin adds up, each with its reason."""

from __future__ import annotations

from decimal import Decimal

# Ids, codes and names: a UUID, a hash or the longest model's name fits several times, and indexes stay small.
MAX_TEXT = 255
# UTF-8 bytes of a provider's or model's name. With a customer and a code of 255 characters, of four bytes each, two of
# them still fit into one row of the index of the hourly sums.
MAX_NAME_BYTES = 200
# A single cost of a quadrillion is a mistake of whoever sent it. A billion of such costs are summed without rounding,
# and a percent of it from the smallest revenue still has its four decimals within the 50 digits of our arithmetic.
MAX_COST = Decimal(10) ** 15
# What a subscription earns in a period; larger than any cost, for currencies of small units.
MAX_REVENUE = Decimal(10) ** 18
# More units of one event than tokens were ever made.
MAX_UNITS = Decimal(10) ** 24

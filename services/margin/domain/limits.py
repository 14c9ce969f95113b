"""Limits of the values that margin adds up, each with its reason."""

from __future__ import annotations

from decimal import Decimal

# Ids, codes and names: a UUID, a hash or the longest model name fits several times over, and indexes stay small.
MAX_TEXT = 255
# In UTF-8 bytes, for a provider's or model's name. With a customer and a code of 255 characters of four bytes each, two
# such names still fit into one index row of the hourly sums.
MAX_NAME_BYTES = 200
# A single cost of a quadrillion is a mistake of the sender. A billion such costs are summed without rounding, and their
# percentage of the smallest revenue still has its four decimals within the 50 digits of our arithmetic.
MAX_COST = Decimal(10) ** 15
# The most that a subscription earns in a period; larger than any cost, for currencies of small units.
MAX_REVENUE = Decimal(10) ** 18
# One event cannot have more units than tokens were ever made.
MAX_UNITS = Decimal(10) ** 24

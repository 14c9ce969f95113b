"""Bounds of what callers may send, each with its reason."""

from __future__ import annotations

from datetime import timedelta

# Codes and external ids: a UUID, a hash or an e-mail address fits; indexes stay small.
MAX_CODE = 255
# A name is a line, a description a paragraph, a configuration value what fits into a header.
MAX_NAME = 255
MAX_DESCRIPTION = 4096
MAX_VALUE = 1024
# A page of a whole organization's features, and the widest resolution of one subscription, stay in memory.
MAX_FEATURES = 5000
# One call is one query: more questions would hold its connection beyond the latency the others were promised.
MAX_CHECKS = 1000
# A gateway watches the organization instead of more customers than this.
MAX_WATCHED_CUSTOMERS = 1000
# A hold that outlives a day is a forgotten one; one below a second would end before its answer arrives.
MIN_HOLD = timedelta(seconds=1)
MAX_HOLD = timedelta(hours=24)
# Most work of unknown size (a model's answer, a file) is over by then.
DEFAULT_HOLD = timedelta(minutes=10)

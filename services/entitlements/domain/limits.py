"""Limits of what callers may send, each with its reason."""

from __future__ import annotations

from datetime import timedelta

# Codes and external ids: a UUID, a hash or an e-mail address fits, and indexes stay small.
MAX_CODE = 255
# A name is a line, a description is a paragraph, and a configuration's value is what fits into a header.
MAX_NAME = 255
MAX_DESCRIPTION = 4096
MAX_VALUE = 1024
# A page of an organization's features, and the largest resolution of one subscription, fit into memory.
MAX_FEATURES = 5000
# An organization sells a handful of kinds of credits.
MAX_CREDIT_SYSTEMS = 100
# What an account is evaluated from stays some milliseconds of work: grants that have not ended, and the deductions or
# ended grants after which its figures are stored.
MAX_GRANTS = 1000
CHANGES_PER_SNAPSHOT = 50
# One call is one query: with more questions it would hold its connection for longer than other calls should wait.
MAX_CHECKS = 1000
# For more customers than this, a gateway watches the organization.
MAX_WATCHED_CUSTOMERS = 1000
# A hold that lasts longer than a day has been forgotten; one below a second would end before its answer arrives.
MIN_HOLD = timedelta(seconds=1)
MAX_HOLD = timedelta(hours=24)
# Most work of unknown size (a model's answer, a file) is finished by then.
DEFAULT_HOLD = timedelta(minutes=10)

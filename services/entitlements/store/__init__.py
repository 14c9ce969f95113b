"""SQL in, domain values out. Nothing here commits or decides. Every statement names its organization.

Locks are always taken in this order, so that no two transactions wait for each other: ids of requests, an
organization's row (for every change of what its customers have, and not for what only counts), entitlement rows, the
organization's revision (when everything is read and decided, right before the commit).
"""

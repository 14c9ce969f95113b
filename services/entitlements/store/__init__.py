"""SQL in, domain values out. Nothing here commits or decides. Every statement names its organization.

Locks are always taken in this order, so that no two transactions wait for each other: an organization's row (for every
change of what its customers have), entitlement rows, the organization's revision (right before the commit).
"""

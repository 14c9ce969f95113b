"""What a replica remembers, so that a check is answered without the database (docs/adr/0011).

    memory      answers questions: out of what is known, or by one query whose result is then known
     │  └─ changes     learns from the database whose answers were altered, by any replica
     ▼
    known       the standings that were loaded, by organization and customer, bounded; no I/O

The law: **what is known of an organization is its state at one revision**, and every answer out of it is the one that
the database would have given at that revision, at the organization's present time.
"""

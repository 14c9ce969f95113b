"""The way of events into the log, from a call to its answer.

    rpc ── events of one call
     │
     ▼
    intake      gathers small calls of one organization, reads them (`convert`), answers every caller
     │
     ▼
    prepare     identity, hashes, row and announced entry of each event, column by column
     │  ├─ catalog_cache   rating's catalog in memory, true as of a revision
     │  └─ resolve         where the events of one (customer, subscription, code) go, or why they cannot be billed
     │                     (then the intake waits for rating's news first, and the commit resolves them anew)
     ▼
    queue       bounded: a call that finds it full is refused before anything is stored
     │
     ▼
    commit      two threads; a transaction holds the catalog still, prepares anew what was prepared against an older
     │  │       one, copies the rows, and writes what `effects` makes of them
     │  └─ dedupe          which events are new: in memory, then, if the unique index objects, in the log
     ▼
    answer      what each event's sender is told, only after the commit

Events are gathered three times, each time because one step costs much more for a call than for an event:

1. The gateway's coalescer waits a millisecond and folds concurrent REST calls into one gRPC call, since a call costs
   as much as fifty events.
2. The intake lets small gRPC calls that arrive during a commit travel on together, since an event prepared among thirty
   costs a tenth of one prepared alone.
3. The committer takes all batches that wait into one transaction, since a commit waits for the disk once.

Two things of this tuned code must stay true:

- A fast path that cannot decide says so and never decides wrongly. `convert.plain_events` returns None and
  `are_plain` returns False for "inconclusive: read event by event"; `Route.has_value` and `property.number_test` return
  False for "inconclusive: look at the property"; `dedupe.RecentKeys` only says where to look first.
- What is in memory may be old, which costs time, never correctness. The commit compares the revision that a batch was
  prepared against with the one it holds still, and the unique index decides which events are the same.
"""

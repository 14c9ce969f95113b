"""Usage on its way from the usage-event log to a fee.

    usage event ─▶ measurement ─▶ tally ─▶ usage aggregate ─▶ charge usage ─▶ usage ─▶ fee
       (log)        counting.py  counting.py   aggregate.py      (pricing/charge_usage.py,   pricing/rate.py
                                                                  pricing/charges/usage.py)

- A **measurement** is what one event says about one metric: a number, or a distinct value.
- A **tally** is what a batch of events adds to one aggregate; tallies add up in any order.
- A **usage aggregate** is a row of a billing period: of the metric itself, or of a charge's filter and group (its
  **bucket**). Everything in it can be added to, so no event is kept for it.
- A **charge usage** is the state that pricing knows: an aggregation, and the transactions of a percentage.
- A **usage** is what a charge model turns into lines: units, number of events, steps by days.

`commands/count.py` goes from the log to the aggregates; `invoicing/period_rating.py` from the aggregates to fees. What
a fee has counted is known afterwards without a row for each event: `events_of_fee.py`. `recount.py` goes the same way
from the log's own list of events: for an aggregate that a void made unsure, for rebuilding an invoice, and for what-if.
"""

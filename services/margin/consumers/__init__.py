"""The logs that margin follows: the shards of the usage-event log, and what rating announces."""

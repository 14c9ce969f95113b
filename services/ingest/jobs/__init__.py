"""What runs beside the calls: publishing the shards, releasing quarantined events, keeping the partitions."""

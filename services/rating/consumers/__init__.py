"""What rating does with the domain events of other services, one file a publisher."""

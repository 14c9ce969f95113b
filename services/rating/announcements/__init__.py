"""Rating's domain events in their form on the wire, with one encoder for each event class."""

"""Rating's domain events in their form on the wire, one encoder an event class."""

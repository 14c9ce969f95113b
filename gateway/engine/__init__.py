"""What dialects share and is not a rule of billing: the path of events, pages, and the services' methods as data."""

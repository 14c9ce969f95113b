"""What dialects share and is no rule of billing: the way of events, pages, and what services do not know yet."""

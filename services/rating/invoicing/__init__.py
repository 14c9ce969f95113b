"""Invoicing: from the aggregates of a closed period to a finalized invoice that explains itself."""

"""Rating: catalog, subscriptions, aggregation of usage, charges, invoices."""

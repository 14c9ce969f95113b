"""What can be done to the catalog: each function is one request, in one transaction."""

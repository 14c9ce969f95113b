"""What can be done to the catalog: each function is one thing that can be asked, in one transaction."""

"""What can be read of invoices and usage without changing anything."""

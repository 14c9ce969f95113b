"""Invoices, their fees and credit notes in SQL, one file for each table."""

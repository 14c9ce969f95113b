"""How an invoice is made, totalled, finalized, corrected, paid and voided."""

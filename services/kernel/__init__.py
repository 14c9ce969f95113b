"""What billing means everywhere: money, periods, ids, clock, errors. Standard library only, no I/O."""

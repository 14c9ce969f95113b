"""What can be asked of this service, each in the caller's one transaction: load, decide, save, announce."""

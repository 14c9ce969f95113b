"""What others can ask of this service, each in the caller's one transaction: load, decide, save, announce."""

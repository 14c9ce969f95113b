"""Ground that every concept of rating stands on."""

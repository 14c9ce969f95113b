"""The rules of rating: frozen values and pure functions; time is always an argument."""

"""Every tier of tests, and what they share; a package, so that no other of this name is found before it."""

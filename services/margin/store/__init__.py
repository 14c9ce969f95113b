"""SQL in, domain objects out. Nothing here decides or commits; every query names its organization."""

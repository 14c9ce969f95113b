"""One function is one request; it runs in the transaction it is given and never commits."""

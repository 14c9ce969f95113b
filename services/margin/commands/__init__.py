"""One function is one thing that can be asked; it runs in the transaction it is given and never commits."""

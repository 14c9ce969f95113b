"""What can be asked without changing anything; each opens the transaction it reads in."""

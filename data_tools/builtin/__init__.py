"""How the built-in sounds are made."""

"""Command: which prepared features no run needs, and away with them."""

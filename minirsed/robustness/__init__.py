"""The same mixtures changed in known ways: what a detector still finds, and what it takes noise for."""

"""What a detector needs in other places: inputs that they leave as they were, and what becomes an event."""

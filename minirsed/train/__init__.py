"""Command: train a detector."""

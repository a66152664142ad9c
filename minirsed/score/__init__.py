"""Command: score event lists."""

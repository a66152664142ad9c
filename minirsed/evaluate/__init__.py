"""Command: score a trained run."""

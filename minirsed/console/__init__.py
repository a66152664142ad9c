"""What the commands share at the terminal."""

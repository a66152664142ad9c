"""A detector in hours of sound: how often it cries wolf, what it misses, and thresholds for a promise."""

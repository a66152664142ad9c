"""A detector on sound of any length, from files or as it arrives."""

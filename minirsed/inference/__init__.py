"""A trained network made ready to run, when nothing is to be learnt any more."""

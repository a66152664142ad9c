"""How fast is each stage on this machine, `python -m minirsed.bench`: rows, and the same work by peers."""

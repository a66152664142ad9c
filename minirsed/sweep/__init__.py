"""The paper's tables and figure, `python -m minirsed.sweep`: plan → cost → jobs, here or on a cluster → results."""

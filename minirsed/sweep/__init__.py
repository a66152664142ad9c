"""The paper's tables and figure, `python -m minirsed.sweep`: plan → cost → jobs, local or Dask → scores → results."""

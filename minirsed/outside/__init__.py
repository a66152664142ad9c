"""Beyond the paper: a detector that holds outside its own laboratory. `README.md` tells the whole of it."""

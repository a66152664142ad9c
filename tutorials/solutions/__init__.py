"""Solutions of the exercises, one module per notebook; open them when you have tried."""

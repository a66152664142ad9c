"""Several sounds in one detector: one encoder, an event vector for each class. `README.md` tells the whole of it."""

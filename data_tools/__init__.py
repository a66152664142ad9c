"""From sounds to mixtures of rare events (paper, Sec. 4). Nothing in here imports `minirsed`."""

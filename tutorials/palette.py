"""The colours of all pictures: ColorBrewer's Dark2, which people with most kinds of colour vision tell apart."""

GREEN, ORANGE, VIOLET, PINK, GOLD = "#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#e6ab02"

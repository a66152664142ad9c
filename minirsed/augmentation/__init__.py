"""Changes of training mixtures that the paper does not have."""

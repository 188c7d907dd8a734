"""Layer 5: read and check all inputs, once, before a fit or a prediction."""

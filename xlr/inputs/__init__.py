"""Layer 5: read and check all inputs once, and make the problem of a fit from them."""

"""Floor 5: what a person gives, read and checked once, before anything is fitted."""

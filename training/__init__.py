"""Training of the built-in model on pictures that this package draws itself."""

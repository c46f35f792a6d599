"""Trains the built-in model on samples drawn by :mod:`drawing`, and measures it."""

"""Draws images and clips with a known alpha, each a pure function of a seed and an index."""

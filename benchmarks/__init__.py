"""Benchmarks of the program against a baseline script; see ``__main__``."""

"""The command line: flags, progress and signals."""

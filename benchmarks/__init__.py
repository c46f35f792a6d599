"""How fast the program is, beside a script in the manner of the paper's; see ``__main__``."""

"""How a program gets better: one file per optimizer on one search core."""

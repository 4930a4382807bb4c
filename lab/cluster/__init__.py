"""One cluster of the lab: the programs that are it, its gateway, its pods and what a cloud does for it."""

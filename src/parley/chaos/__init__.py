"""Chaos: a private Parley under load, its parts killed, stopped and told to go, and what its users saw of that."""

"""Clients of a Parley server: the Python client and the terminal. Programs import them from `parley`."""

"""Doubles for tests of your own: a scripted upstream model server."""

"""Watching a run from outside: its events, and the view that they add up to."""

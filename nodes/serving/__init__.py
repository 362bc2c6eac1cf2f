"""Predictions over HTTP, from a saved model or from one that is still learning."""

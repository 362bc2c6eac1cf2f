"""Experiments: loaded from a file, flags or keywords, and validated before anything starts."""

"""Adapters that make scikit-learn estimators models that can be merged."""

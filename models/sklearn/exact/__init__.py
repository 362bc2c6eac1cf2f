"""Estimators that one exchange fits as all rows together would: each is solved from sums over rows."""

"""Federated statistics: what all sites together know of their columns, told without a row or a small count."""

"""Ensembles: forests as the union of all sites' trees, and bags of models that are averaged."""

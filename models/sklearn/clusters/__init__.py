"""Clusters of the rows of all sites, by exact steps from sums: k-means and Gaussian mixtures."""

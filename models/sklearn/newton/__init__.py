"""Linear models fitted by Newton's method on sums over all sites: what `fit` on the pooled rows finds."""

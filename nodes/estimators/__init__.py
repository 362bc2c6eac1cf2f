"""Estimators with scikit-learn's habits whose `fit` is a federated or a gossip run, in this process or in real ones."""

"""Federated and gossip learning for NumPy and scikit-learn, over ZeroMQ: `nervenet.nodes` and `nervenet.models`."""

__version__ = "0.1.0"

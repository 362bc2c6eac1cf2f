"""The built-in multi-layer perceptron, in NumPy alone."""

from .mlp import MLP

__all__ = ["MLP"]

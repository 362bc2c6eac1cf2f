"""The built-in multilayer perceptron, in NumPy alone."""

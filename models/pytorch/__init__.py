"""PyTorch modules behind the `Model` protocol; needs the extra ``torch``."""

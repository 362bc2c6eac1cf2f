"""Models larger than a message: announced by their size, asked for range by range, folded as the ranges come."""

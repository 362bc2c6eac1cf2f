"""Data sets: where rows come from, how they are split, and how they are partitioned over sites."""

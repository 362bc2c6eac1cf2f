"""Exact averaging among all peers that are there, at the least bytes: a reduce-scatter, then an all-gather.

Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (JPDC 69), for the bound;
Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations in MPICH" (IJHPCA 19), for the
two halves; Ryabinin, Gorbunov, Plokhotnyuk & Pekhimenko 2021, "Moshpit SGD" (arXiv 2103.03239), and hivemind, for
groups in which a peer that fails costs its part only.
"""

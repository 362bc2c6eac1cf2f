"""Coordinator, client and peer: a machine and a node each, the public faces."""

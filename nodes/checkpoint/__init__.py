"""Durable state: one file format, one store of the newest few, for every kind of node."""

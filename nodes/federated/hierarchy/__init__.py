"""Coordinators below a coordinator: an aggregator is a client upwards and the coordinator of its region downwards."""

"""A launch with regions: an aggregator for each part of its clients, and a run of that part below the launched one."""

"""Federated learning: clients train where their data is and report to a coordinator, which averages."""

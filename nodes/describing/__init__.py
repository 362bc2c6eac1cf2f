"""Federated statistics: sites describe their tables together, and a page shows what they told."""

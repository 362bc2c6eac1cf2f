"""Models larger than a message among peers: announced in place of being sent, and fetched range by range."""

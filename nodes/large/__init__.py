"""Arrays larger than a message: what is announced, and fetched range by range, in every way to learn."""

"""A transport in memory with faults to order, for tests of nodes and of what embeds them."""

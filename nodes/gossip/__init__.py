"""Gossip learning: peers train where their data is and exchange weights with their neighbors, no server at all."""

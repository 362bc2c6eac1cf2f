"""Gossip learning: peers train where their data is and exchange weights with their neighbours, no server at all."""

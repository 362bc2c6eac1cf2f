"""Gossip without rounds: nobody waits for anybody. Pairwise averaging (AD-PSGD), and models that walk."""

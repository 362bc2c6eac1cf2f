"""What all sites agree on in round 0: questions to every site, and exact merges of their answers."""

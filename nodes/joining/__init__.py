"""Joining a federation: the invitation that a site is sent, what it says will leave the site, and the keys it names."""

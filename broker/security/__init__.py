"""Identity and encryption: key files, the list of allowed keys, and the authentication of every connection.

docs/security.md says what is promised; docs/decisions/0016-one-key-a-node.md why it is made this way.
"""

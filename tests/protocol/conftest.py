"""What the tests of the protocol share."""

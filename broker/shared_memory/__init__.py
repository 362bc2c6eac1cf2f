"""Large vectors between processes of one host, by shared memory; docs/protocol.md, section 13."""

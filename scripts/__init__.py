"""Command lines: they parse, call `nervenet.nodes`, and print."""

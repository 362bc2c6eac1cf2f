"""What `nervenet doctor` finds: probes that collect facts, each with a deadline, and pure functions that judge them."""

"""What a site takes part in: its policy, what it is asked for, and the decision about it."""

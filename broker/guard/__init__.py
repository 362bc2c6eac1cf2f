"""What strangers and members may cost: connections, what they hold, how much they send; and what ends those beyond."""

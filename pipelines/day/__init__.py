"""A trading day as it is collected: live or simulated, minute by minute, to the summary."""

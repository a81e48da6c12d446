"""What is traded at the simulated KIS: synthetic or recorded bars, and the options around them."""

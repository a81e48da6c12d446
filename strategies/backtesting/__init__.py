"""What a strategy would have earned: positions, trades, daily results and figures, as columns."""

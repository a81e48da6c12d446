"""Strategies over the history: their signals computed again, and what they would have earned."""

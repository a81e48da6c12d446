"""Strategies over the history: the same signals again, and what they would have earned."""

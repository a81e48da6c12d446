"""Strategies: pure functions from bars to signals."""

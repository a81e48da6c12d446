"""Keeping the history whole: what is missing, what KIS still has, what contradicts itself."""

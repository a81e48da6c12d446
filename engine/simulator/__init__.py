"""A KIS that answers like KIS, faults included, over real HTTP on the loopback."""

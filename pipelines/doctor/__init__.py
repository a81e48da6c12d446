"""`just doctor`: everything that a person would be asked for, when any of it may be broken.

Each check says well, amiss or unknown, and what to do. They run at once, each with a deadline, and
what one of them raises is its finding, not the end of the others.
"""

"""Stands before pandas for the commands that tests start: what users install has none.

pyarrow loads pandas wherever it is installed, which takes a third of the start of a command.
"""

raise ModuleNotFoundError("users have no pandas", name="pandas")

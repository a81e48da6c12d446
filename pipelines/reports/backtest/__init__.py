"""The report of a backtest: a page of one file that needs no network, a picture, and tables."""

"""dolpha1: an intraday volatility-band breakout with a VWAP filter."""

"""dolpha1: an intraday volatility-band breakout on the minute bars of a futures contract."""

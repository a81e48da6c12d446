"""Features as Polars expressions: no I/O, no clock, nothing of ours but schemas."""

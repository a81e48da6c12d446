"""Features as Polars expressions, without I/O or a clock: they know schemas and what KRX lists."""

"""Quotations as tables: each a TR, its path, and its fields as expressions over frames."""

from engine.simulator.quotations import (
    derivative_tables,
    flow_tables,
    index_tables,
    product_tables,
    programme_tables,
    stock_tables,
)

TABLES = (
    *stock_tables.TABLES,
    *index_tables.TABLES,
    *derivative_tables.TABLES,
    *flow_tables.TABLES,
    *programme_tables.TABLES,
    *product_tables.TABLES,
)

__all__ = ["TABLES"]

"""Reading the history: lazy scans and DuckDB checks."""

"""Fetchers: a request becomes one RecordBatch in a schema of engine.schemas."""

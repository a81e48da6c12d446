"""Fetchers: each turns a request into one RecordBatch in a schema of engine.schemas."""

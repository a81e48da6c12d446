"""The embedded Postgres: its programs, its cluster, and the server for as long as it is needed."""

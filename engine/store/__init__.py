"""Postgres, the system of record: server, migrations, merge, spool, ledger."""

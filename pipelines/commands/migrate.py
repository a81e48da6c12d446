"""`just migrate`: your own server and the newest schema."""

from __future__ import annotations

from engine.errors import InputError
from engine.settings import load_settings
from engine.store import migrate as apply_migrations
from engine.store.pooler import behind_transaction_pooler
from pipelines.console import PlainConsole
from pipelines.databases import SCHEMAS


def migrate() -> int:
    """Bring your own server (db_config.json, KRT_DATABASE_URL) to the newest schema."""
    settings = load_settings()
    url = settings.database.url
    if url is None:
        raise InputError("migrate is for your own server; the embedded one does it by itself")
    apply_migrations(url, keep=settings.data_folder.expanduser() / SCHEMAS)
    pooled = ", behind a transaction pooler" if behind_transaction_pooler(url) else ""
    PlainConsole().print(f"✅ the schema is the newest{pooled}")
    return 0

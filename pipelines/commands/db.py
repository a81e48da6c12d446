"""`just db`: the embedded database for other programs."""

from __future__ import annotations

import sys
import threading

from engine.log import HIDDEN
from engine.settings import passwords
from pipelines.commands.options import DatabaseOption
from pipelines.console import PlainConsole
from pipelines.databases import open_database


def db(*, database: DatabaseOption = None) -> int:
    """Open the embedded server and print its address; it runs until Ctrl+C."""
    with open_database(database) as opened:
        address = opened.url
        for password in passwords(opened.settings.database.url or ""):  # others may see the screen
            address = address.replace(password, HIDDEN)
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        PlainConsole(stderr=True).print("⏱️ open until Ctrl+C: psql, DBeaver or Polars may use it")
        over = threading.Event()
        while not over.wait(1.0):  # Windows hears Ctrl+C only between waits
            pass
    return 0

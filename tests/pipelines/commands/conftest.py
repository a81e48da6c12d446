"""What tests of commands share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.databases import command


@pytest.fixture(scope="module")
def new_databases(server_url: str) -> Iterator[Any]:
    """Make databases without a schema, dropped at the end."""
    template = server_url.rpartition("/")[2].partition("?")[0]
    names: list[str] = []

    def make() -> str:
        names.append(f"backup_{uuid.uuid4().hex[:12]}")
        command(server_url, f"CREATE DATABASE {names[-1]}")
        return server_url.replace(f"/{template}?", f"/{names[-1]}?")

    yield make
    for name in names:
        command(server_url, f"DROP DATABASE {name} WITH (FORCE)")

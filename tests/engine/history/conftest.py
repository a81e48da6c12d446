"""A table of edge values in a database of its own, for the tests of scans and predicates."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest

from engine.errors import StoreError
from engine.store.connection import Connection
from tests.engine.history.edge_values import make_table


@pytest.fixture(scope="module", params=["LOCALE_PROVIDER builtin", "LOCALE_PROVIDER libc"])
def edge_table(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """A database with `edge_table`; once with our order of texts, once with the system's."""
    template = server_url.rpartition("/")[2].partition("?")[0]
    name = f"scan_{uuid.uuid4().hex[:12]}"
    maintenance = Connection(server_url.replace(f"/{template}?", "/krt?"), "test")
    create(maintenance, f"CREATE DATABASE {name} TEMPLATE template0 {request.param}")
    url = server_url.replace(f"/{template}?", f"/{name}?")
    make_table(url)
    yield url
    maintenance.execute_alone(f"DROP DATABASE {name} WITH (FORCE)")
    maintenance.close()


def create(maintenance: Connection, statement: str) -> None:
    """Run a CREATE DATABASE in the first locale that the system knows."""
    if "libc" not in statement:
        return maintenance.execute_alone(f"{statement} BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'")
    for locale in ("ko_KR.UTF-8", "en_US.UTF-8", "C.UTF-8"):
        with suppress(StoreError):
            return maintenance.execute_alone(f"{statement} LOCALE '{locale}'")
    pytest.skip("this system has no UTF-8 locale for a database with another order of texts")

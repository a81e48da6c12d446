"""A server that is away for long: failed connections cost no memory, and its return is noticed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from engine.errors import StoreUnreachable
from engine.store.connection import Connection
from engine.store.reachability import why_unreachable
from tests.engine.store.outage import away

_STATUS = Path("/proc/self/statm")
_PAGE = 4096  # bytes


def memory() -> int:
    """Bytes of this process in memory."""
    return int(_STATUS.read_text().split()[1]) * _PAGE


def fail(connection: Connection, times: int) -> None:
    for _ in range(times):
        with pytest.raises(StoreUnreachable, match="no connection"):
            connection.query("SELECT 1")


@pytest.mark.skipif(not _STATUS.exists(), reason="only Linux has a process's memory there")
def test_a_thousand_failed_connections_leak_no_memory() -> None:
    connection = Connection(f"postgresql://postgres@127.0.0.1:{free_port()}/krt", "test")
    fail(connection, 50)
    before = memory()
    fail(connection, 1000)
    assert memory() - before < 5_000_000  # the driver alone would leave 15 MB


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_server_that_is_back_is_found(database_url: str) -> None:
    connection = Connection(database_url, "test")
    with away(database_url):
        fail(connection, 1)
    assert connection.query("SELECT 1 AS one")["one"].to_pylist() == [1]
    connection.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://u:p%40w@127.0.0.1:{port}/krt", "127.0.0.1, port {port}"),
        ("postgresql://localhost:{port}/krt?sslmode=disable", "localhost, port {port}"),
        ("postgresql://[::1]:{port}/krt", "::1, port {port}"),
        ("postgresql:///krt?host=127.0.0.1&port={port}", "127.0.0.1, port {port}"),
        ("postgresql://u@:{port}/krt?host=%2Fno%2Fsuch", "/no/such, port {port}"),
    ],
)
def test_host_and_port_are_read_from_the_address(url: str, address: str) -> None:
    port = free_port()
    assert str(why_unreachable(url.format(port=port))).startswith(address.format(port=port) + ": ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:1,b:2/krt",
        "postgresql:///krt",
        "postgresql:///krt?host=a,b",
        "postgresql://a:99999/krt",
    ],
)
def test_an_address_without_one_host_and_port_is_left_to_the_driver(url: str) -> None:
    assert why_unreachable(url) is None

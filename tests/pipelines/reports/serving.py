"""A page of ours, served by its command in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.paths import ROOT

PATIENCE = 60  # seconds that a busy machine may take


@contextmanager
def serving(url: str, folder: Path, *options: str, command: str = "dashboard") -> Iterator[str]:
    """Run `just dashboard`, or `just research`; yield the address that it says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    called = [sys.executable, "-m", "pipelines.commands.main", command, "--port", str(port)]
    environment = {**os.environ, "KRT_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    environment["KRT_DATA_FOLDER"] = str(folder / "data")
    server = subprocess.Popen(
        [*called, *options], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("🚀 ").strip()
        wait_until_up(f"http://127.0.0.1:{port}/health")
        yield address
    finally:
        server.terminate()
        assert server.wait(30) in (130, 1)
    with pytest.raises(httpx.ConnectError):  # it took its server with it
        httpx.get(f"http://127.0.0.1:{port}/health")


def wait_until_up(address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"{address} did not come up")

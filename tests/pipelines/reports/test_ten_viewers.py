"""What ten who watch the page cost its server, while a collector brings a bar each second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from engine.history.scan import query
from tests.pipelines.reports.serving import serving
from tests.pipelines.reports.test_page_in_browser import collect

VIEWERS, BARS = 10, 40  # of these each is a minute of the session
CHOICES = ({}, {"symbol": "005930"}, {"lang": "ko"}, {"strikes": "all"}, {"day": "2026-11-13"})
MOST_MEMORY = 50 * 2**20  # bytes a viewer
MOST_OF_A_CORE = 0.2


@contextmanager
def watching(address: str, count: int) -> Iterator[list[int]]:
    """Have so many browsers watch; yield how many messages each has got."""
    got, end = [0] * count, threading.Event()

    def watch(number: int) -> None:
        choice = CHOICES[number % len(CHOICES)]
        with httpx.Client(base_url=address, timeout=60) as client:
            client.get("/", params=choice).raise_for_status()
            with client.stream("GET", "/events", params=choice) as events:
                for line in events.iter_lines():
                    got[number] += line.startswith("data: ")
                    if end.is_set():
                        return

    threads = [threading.Thread(target=watch, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield got
    finally:
        end.set()
        for thread in threads:
            thread.join(60)


def cost(server: psutil.Process) -> tuple[float, int]:
    """Return seconds of a core and bytes of memory that the server has taken."""
    times = server.cpu_times()
    return times.user + times.system, server.memory_info().rss


@pytest.mark.long
def test_ten_viewers_cost_the_server_little(filled: str, tmp_path: Path) -> None:
    options = ["--refresh", "1s", "--database", "simulation"]
    with serving(filled, tmp_path, *options) as address:
        (server,) = (
            child
            for child in psutil.Process().children(recursive=True)
            if "dashboard" in child.cmdline()
        )
        with watching(address, 1):
            time.sleep(5)  # what one viewer needs is read once
        _, alone = cost(server)
        with watching(address, VIEWERS) as got:
            while min(got) == 0:
                time.sleep(0.2)
            first, begin = cost(server)[0], time.monotonic()
            for minute in range(BARS):
                collect(filled, minute, 1050.0 + minute / 4)
                time.sleep(max(0.0, begin + minute + 1 - time.monotonic()))
            seconds, used = cost(server)
            passed = time.monotonic() - begin
        share, memory = (seconds - first) / passed, (used - alone) / VIEWERS
    told = f"{VIEWERS} viewers: {share:.1%} of a core, {memory / 2**20:.1f} MB each, messages {got}"
    print(told)  # noqa: T201 - for docs/reliability.md
    assert query(filled, "SELECT max(timestamp) FROM futures_1m").item().hour == 15
    assert min(got) >= BARS // 2
    assert share < MOST_OF_A_CORE
    assert memory < MOST_MEMORY

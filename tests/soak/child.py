"""The child as the parent has it: started, listened to, told to go on, ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.environment import FOR_LIVE
from tests.paths import ROOT
from tests.soak.orders import KEY, SECRET, Orders, SessionOrders

SILENCE = 600.0  # seconds without a word after which the child hangs
LEAVING = 120.0  # seconds that an orderly end may take
# Polars keeps free memory for 90 s of live work. Half an hour takes some seconds here, so as many
# seconds here would be hours: what is measured would be the most of the last few sessions.
FREED_SOON = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:500,muzzy_decay_ms:500"}
# `just live` says so itself before it loads anything (`share_heaps`); the collector of a season has
# loaded its libraries by then, and their threads have taken heaps.
TWO_HEAPS = {"MALLOC_ARENA_MAX": "2"}


class Broken(AssertionError):
    """Something that was promised is not so."""


@dataclass(frozen=True)
class Word:
    """A line of the child's."""

    kind: str
    what: str


class Child:
    """A running collector."""

    def __init__(self, orders: Orders, errors: Path) -> None:
        environment = os.environ | FOR_LIVE | FREED_SOON | TWO_HEAPS | {"PYTHONIOENCODING": "utf-8"}
        with errors.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.collector", orders.model_dump_json()],
                cwd=ROOT,
                env=environment,
                text=True,
                encoding="utf-8",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        self._words: queue.Queue[Word | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self._words.put(Word(*line.rstrip("\n").split(" ", 1)))
        self._words.put(None)

    def words(self) -> Iterator[Word]:
        """Yield what it says, to its end. Raises Broken if it is silent for too long."""
        while True:
            try:
                word = self._words.get(timeout=SILENCE)
            except queue.Empty:
                raise Broken(f"the collector says nothing for {SILENCE:.0f} s") from None
            if word is None:
                return
            yield word

    def collect(self, session: SessionOrders) -> None:
        """Let it begin with a session."""
        self._write(session.model_dump_json())

    def go_on(self) -> None:
        """Let time go on."""
        self._write("go")

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except OSError:  # it has ended meanwhile, which its words tell
            return

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self._wait_until_gone()

    def ask_to_leave(self, how: signal.Signals) -> None:
        """Send a signal; raises Broken unless it ends in order, with the exit code of Ctrl+C."""
        self.process.send_signal(how)
        assert self.process.stdin is not None
        self.process.stdin.close()  # it may have come to the next mark, and wait for our word
        try:
            self.process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Broken(f"{how.name} does not end the collector") from None
        self._wait_until_gone()
        if self.process.returncode != 130:
            raise Broken(f"{how.name} ended the collector with {self.process.returncode}")

    def _wait_until_gone(self) -> None:
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # what was still to be said to it
                continue


def second_collector(orders: Orders) -> None:
    """Start the real command on the same folder by mistake; raises Broken unless it refuses."""
    environment = {name: value for name, value in os.environ.items() if "KRT_" not in name}
    environment |= {
        "KRT_DATA_FOLDER": str(orders.folder),
        "KRT_APP_KEY": KEY,
        "KRT_APP_SECRET": SECRET,
        "KRT_BASE_URL": f"http://127.0.0.1:{orders.port}",
        "KRT_DATABASE_URL": orders.url,
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.commands.main", "live", "--json", "--future", "A01"],
        cwd=orders.folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=LEAVING,
    )
    said = done.stderr.strip().splitlines()
    if done.returncode != 2 or len(said) != 1 or "another collector is running" not in said[0]:
        raise Broken(f"the second collector ended with {done.returncode}: {said[-1:]}")

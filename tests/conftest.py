"""What tests share: one real Postgres for all workers, a fresh migrated database for each test."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

# Until all tests are listed everything is kept: to look for garbage takes a fifth of the time.
gc.disable()
# Before Polars is imported: the workers of pytest use all cores already.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
# Images of containers often keep Python from writing bytecode. Hundreds of commands are started
# here: each would compile all that it imports, which takes three times as long as to load it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Who is started with `&` ignores Ctrl+C, and so would the commands that the tests end with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Commands speak the language of the system, wherever the tests run.
os.environ["LC_ALL"] = "C.UTF-8"

from engine.clock import WallClock
from engine.market import names
from engine.store import Store, embedded_server
from tests.databases import LONG, fresh_database, new_template, types_read_once
from tests.paths import SERVERS_FOLDER, WITHOUT_PANDAS

pytest_plugins = ["tests.skips"]

# Files that take long run first: with one of them at the end, the other worker has nothing to do.
SLOW = ("tests/e2e", "tests/soak", "tests/test_wheel", "tests/pipelines", "tests/engine/store")

# A slow machine must not fail a test. A test that needs more examples says so itself.
settings.register_profile("krt", deadline=None, max_examples=200 if LONG else 40)
settings.load_profile("krt")


@pytest.fixture(scope="session", autouse=True)
def hide_pandas_from_commands() -> Iterator[None]:
    """Start commands as users have them, without pandas: pyarrow would load it each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(WITHOUT_PANDAS), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def forget_names() -> Iterator[None]:
    """Have no test know the names of stocks from the one before."""
    yield
    names.learn_stocks({})


@pytest.fixture(autouse=True)
def close_logs() -> Iterator[None]:
    """Close the log file that a command opened in this process, before the next test logs."""
    yield
    root = logging.getLogger()
    for left in [handler for handler in root.handlers if handler.__module__ == "engine.log"]:
        root.removeHandler(left)
        left.close()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a migrated template database on the server of this test run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    folder = SERVERS_FOLDER / f"krt-tests-{run[:12]}"
    with embedded_server(folder, durable=False, temporary=True) as url:
        template_url = new_template(url)
        with types_read_once(template_url):
            yield template_url


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """The URL of a fresh database with the newest schema, dropped after the test."""
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture(scope="session")
def unchanged_database_url(server_url: str) -> Iterator[str]:
    """The URL of one database with the newest schema for all tests that only look at it."""
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture
def another_database_url(server_url: str) -> Iterator[str]:
    """The URL of a second one, for comparisons."""
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database, on the wall clock."""
    store = Store(database_url, WallClock(), component="test")
    yield store
    await store.close()


def pytest_configure(config: pytest.Config) -> None:
    """Have a mere list of the tests succeed: snapshots are not used where no test runs."""
    if getattr(config.option, "numprocesses", None):
        gc.enable()  # the process that only starts the others lists no tests itself
    if config.option.collectonly:
        config.option.warn_unused_snapshots = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is slow by nature: `KRT_LONG_TESTS=1`, or .ci/long, runs it too."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))
    if LONG:
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: runs with KRT_LONG_TESTS=1"))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at all tests and imports again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let it clean up after all: some libraries complain of what is left at the end."""
    gc.unfreeze()

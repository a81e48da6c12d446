"""What can go wrong around a collector, each as a block in which it does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

import adbc_driver_manager
import pytest
from aiohttp import web

from engine import files
from engine.simulator.server import Simulator
from engine.store import connection
from engine.store.connection import Connection
from tests.engine.store.outage import away
from tests.engine.store.test_read_only_server import read_only

Trouble = Callable[[str], AbstractContextManager[None]]  # takes the database's URL
LOCKED = ("stocks_1m", "gaps", "collected_symbols", "kept_sessions", "system_status")


def end_connections(url: str) -> None:
    """End every connection to the database, once."""
    name = url.rpartition("/")[2].partition("?")[0]
    with closing(Connection(url.replace(f"/{name}?", "/krt?"), "test")) as maintenance:
        maintenance.query(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )


@contextmanager
def locked(url: str, *tables: str) -> Iterator[None]:
    """Hold a lock on the tables that lets nobody read; statements give up after 50 ms."""
    with (
        pytest.MonkeyPatch.context() as patch,
        closing(Connection(url, "test")) as other,
        other.transaction() as cursor,
    ):
        patch.setattr(connection, "LOCK_TIMEOUT", "50ms")
        for table in tables or LOCKED:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def out_of_connections(url: str) -> Iterator[None]:
    """End what is connected, and let nobody connect, in the server's words."""

    def refuse(*_: object) -> NoReturn:
        raise adbc_driver_manager.OperationalError(
            "IO: [libpq] Failed to connect: FATAL:  sorry, too many clients already",
            status_code=adbc_driver_manager.AdbcStatusCode.IO,
        )

    end_connections(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "connect", refuse)
        yield


Answer = Callable[[web.BaseRequest], web.Response | None]


@contextmanager
def answering(answer: Answer) -> Iterator[None]:
    """Have KIS answer so; where `answer` gives None, as ever."""
    handle = Simulator.handle

    async def changed(self: Simulator, request: web.BaseRequest) -> web.StreamResponse:
        return answer(request) or await handle(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulator, "handle", changed)
        yield


def _refusal(code: str, text: str, status: int) -> web.Response:
    return web.json_response({"rt_cd": "1", "msg_cd": code, "msg1": text}, status=status)


def _down(_request: web.BaseRequest) -> web.Response:
    return web.Response(status=503, text="<html>점검</html>")


def _refusing(request: web.BaseRequest) -> web.Response | None:
    if "token" in request.path:
        return None
    return _refusal("EGW00206", "API 사용 권한이 없습니다.", 403)


def _lying(request: web.BaseRequest) -> web.Response | None:
    if "token" in request.path:
        return None
    fine = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}
    return web.json_response(fine | {"output": [], "output1": {}, "output2": []})


def _without_tokens(request: web.BaseRequest) -> web.Response:
    if "token" in request.path:
        return web.json_response({"error_code": "EGW00999"}, status=500)
    return _refusal("EGW00123", "기간이 만료된 token 입니다.", 500)


def kis(answer: Answer) -> Trouble:
    return lambda _url: answering(answer)


def disk(number: int) -> Trouble:
    """No file can be written, with this error; the database's own disk is another."""

    @contextmanager
    def unwritable(_url: str) -> Iterator[None]:
        @contextmanager
        def refuse(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
            raise OSError(number, os.strerror(number), str(path))
            yield

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "atomic_writer", refuse)
            yield

    return unwritable


def both(*troubles: Trouble) -> Trouble:
    @contextmanager
    def at_once(url: str) -> Iterator[None]:
        with ExitStack() as stack:
            for trouble in troubles:
                stack.enter_context(trouble(url))
            yield

    return at_once


TROUBLES: dict[str, Trouble] = {
    "database away": away,
    "database locked": locked,
    "database read-only": read_only,
    "database out of connections": out_of_connections,
    "KIS away": kis(_down),
    "KIS refusing": kis(_refusing),
    "KIS lying": kis(_lying),
    "KIS without tokens": kis(_without_tokens),
    "disk full": disk(errno.ENOSPC),
    "disk read-only": disk(errno.EROFS),
}

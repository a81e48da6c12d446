"""The approval key: asked for once a day, kept safely, renewed once when KIS does not know it."""

from __future__ import annotations

import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from engine.clock import VirtualClock
from engine.errors import KisKeyRefused, KisUnreachable
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.transport import Transport
from engine.settings import AppKey
from tests.engine.kis.stream.stream_server import KEY, SECRET, StreamServer, open_connection

HOUR = 3600.0


@asynccontextmanager
async def open_keeper(server: StreamServer, folder: Path) -> AsyncIterator[ApprovalKeeper]:
    transport = Transport(server.base_url, server.clock, timeout=5)
    key = AppKey(app_key=KEY, app_secret=SECRET)
    try:
        yield ApprovalKeeper(transport, key, folder / "key", server.clock)
    finally:
        await transport.close()


async def test_the_request_is_as_kis_documents_it(server: StreamServer, tmp_path: Path) -> None:
    async with open_keeper(server, tmp_path) as keeper:
        assert await keeper.approval_key() == "approval-1"
    assert server.asked == {
        "grant_type": "client_credentials",
        "appkey": KEY,
        "secretkey": SECRET,
    }


async def test_one_key_serves_all_starts_of_a_day(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    found = []
    for _ in range(5):
        async with open_keeper(server, tmp_path) as keeper:
            found += [await keeper.approval_key(), await keeper.approval_key()]
        await clock.sleep(5 * HOUR)
    assert found == ["approval-1"] * 10
    async with open_keeper(server, tmp_path) as keeper:
        assert await keeper.approval_key() == "approval-2"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
async def test_the_file_is_readable_by_its_owner_only(server: StreamServer, tmp_path: Path) -> None:
    async with open_keeper(server, tmp_path) as keeper:
        await keeper.approval_key()
        assert "approval-1" in keeper.secrets()
        assert "approval-1" not in repr(keeper._known)
    assert stat.S_IMODE((tmp_path / "key-approval.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"approval_key": "", "issued_at": "2026-11-20T10:00:00"}',
        b'{"approval_key": "a\\nb", "issued_at": "2026-11-20T10:00:00"}',
        b'{"approval_key": "of the day before", "issued_at": "2026-11-19T10:00:00"}',
        b'{"approval_key": "of-tomorrow", "issued_at": "2026-11-21T10:00:00"}',
    ],
)
async def test_a_file_that_cannot_be_used_is_replaced(
    server: StreamServer, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "key-approval.json").write_bytes(content)
    async with open_keeper(server, tmp_path) as keeper:
        assert await keeper.approval_key() == "approval-1"


async def test_an_unknown_key_is_renewed_once(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_keeper(server, tmp_path) as keeper:
        await keeper.approval_key()
        await clock.sleep(HOUR)
        assert await keeper.replace("approval-1") == "approval-2"
        assert await keeper.replace("approval-1") == "approval-2"  # replaced already
        assert await keeper.replace("approval-2") is None
    assert len(server.approvals) == 2


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error_code": "EGW00103", "error_description": f"invalid {KEY}"}, 403, KisKeyRefused),
        ({"error_code": "EGW00103", "error_description": "x"}, 500, KisUnreachable),
        ({"error_code": "EGW00133", "error_description": "x"}, 403, KisUnreachable),
        ({"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "x"}, 200, KisUnreachable),
        ({"approval_key": "two\nlines"}, 200, KisUnreachable),
        ({"approval_key": None}, 200, KisUnreachable),
        ([], 200, KisUnreachable),
        (b"<html>", 502, KisUnreachable),
        (b"", 200, KisUnreachable),
    ],
)
async def test_every_other_answer_is_an_error_without_secrets(
    server: StreamServer, tmp_path: Path, body: object, status: int, kind: type[Exception]
) -> None:
    server.approve = lambda _number: (body, status)
    async with open_keeper(server, tmp_path) as keeper:
        with pytest.raises(kind) as failed:
            await keeper.approval_key()
    assert KEY not in str(failed.value)
    assert type(failed.value) is kind


async def test_the_feed_follows_no_redirect_with_the_approval_key(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    """A redirect to any address would have been told the approval key."""
    asked: list[str] = []

    async def redirect(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": server.base_url})

    runner = web.ServerRunner(web.Server(redirect))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    async with open_connection(server, tmp_path, url=address) as connection:
        await clock.sleep(5)
        assert connection.state.registered == ()
    await runner.cleanup()
    assert asked
    assert (server.connections, server.heard) == ([], [])

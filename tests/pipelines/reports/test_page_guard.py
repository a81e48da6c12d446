"""The page answers its own pages under its own name, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from pipelines.reports.page_guard import PageGuard, Receive, Scope, Send, page_names

OWN = "127.0.0.1:2718"


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request; hold every WebSocket until it is told to end."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def headers(**given: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]


async def answer(guard: PageGuard, kind: str, given: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return the guard's first message."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await guard({"type": kind, "headers": given}, receive, send)
    return dict(sent[0])


def open_guard(*, guarded: bool = False, allowed: tuple[str, ...] = ()) -> PageGuard:
    return PageGuard(page, page_names("127.0.0.1", guarded=guarded), allowed, 2)


PASSES = [
    headers(host=OWN),
    headers(host="localhost:2718"),
    headers(host="[::1]:2718"),
    headers(host=OWN, origin=f"http://{OWN}"),
    headers(host=OWN, sec_fetch_site="cross-site", sec_fetch_dest="document"),  # a link to us
    headers(host=OWN, origin=f"http://{OWN}", sec_fetch_site="same-origin"),
]
REFUSED = [
    headers(),
    headers(host=""),
    headers(host="evil.example:2718"),  # a name that its owner points at 127.0.0.1
    headers(host="evil.example:2718", origin="http://evil.example:2718"),
    headers(host="127.0.0.1.evil.example"),
    headers(host="localhost@evil.example") + headers(host=OWN),
    headers(host=OWN, origin="http://evil.example"),
    headers(host=OWN, origin="https://127.0.0.1.evil.example"),
    headers(host=OWN, origin="http://127.0.0.1:3000"),  # another program's page
    headers(host=OWN, origin="http://localhost:2718"),  # not the name that was asked for
    headers(host=OWN, origin="null"),
    headers(host=OWN, origin=""),
    headers(host=OWN, sec_fetch_site="cross-site", sec_fetch_dest="iframe"),
    headers(host=OWN, sec_fetch_site="same-site", sec_fetch_dest="empty"),
]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("given", PASSES)
async def test_our_own_pages_are_answered(kind: str, given: list[tuple[bytes, bytes]]) -> None:
    first = await answer(open_guard(), kind, given)
    assert first.get("status", 200) == 200
    assert first["type"] != "websocket.close"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("given", REFUSED)
async def test_other_pages_and_other_names_are_refused(
    kind: str, given: list[tuple[bytes, bytes]]
) -> None:
    first = await answer(open_guard(), kind, given)
    assert (first.get("status"), first.get("code")) in ((403, None), (None, 1008))


async def test_with_a_token_any_name_will_do_but_no_other_page() -> None:
    guard = open_guard(guarded=True)
    lan = headers(host="server.lan:2718", origin="http://server.lan:2718")
    assert (await answer(guard, "http", lan))["status"] == 200
    other = headers(host="server.lan:2718", origin="http://evil.example")
    assert (await answer(guard, "http", other))["status"] == 403


async def test_a_proxy_is_let_through_by_its_name() -> None:
    guard = open_guard(allowed=("desk.example",))
    for given in (
        headers(host="desk.example", origin="https://desk.example"),
        headers(host=OWN, origin="https://desk.example"),
    ):
        assert (await answer(guard, "http", given))["status"] == 200


async def test_no_other_page_shows_ours_in_a_frame() -> None:
    first = await answer(open_guard(), "http", headers(host=OWN))
    assert (b"x-frame-options", b"DENY") in first["headers"]


async def test_so_many_may_watch_and_no_more() -> None:
    guard = open_guard()
    leave = asyncio.Event()
    accepted = asyncio.Semaphore(0)

    async def watch() -> list[str]:
        sent: list[str] = []

        async def receive() -> MutableMapping[str, Any]:
            if sent:
                accepted.release()
                await leave.wait()
            return {"type": "websocket.connect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message["type"])

        await guard({"type": "websocket", "headers": headers(host=OWN)}, receive, send)
        return sent

    watching = [asyncio.create_task(watch()) for _ in range(2)]
    for _ in watching:
        await accepted.acquire()
    assert (await answer(guard, "websocket", headers(host=OWN)))["code"] == 1013
    assert (await answer(guard, "http", headers(host=OWN)))["status"] == 200
    leave.set()
    assert await asyncio.gather(*watching) == [["websocket.accept"]] * 2
    assert (await answer(guard, "websocket", headers(host=OWN)))["type"] == "websocket.accept"

"""Tokens, expiries and token files that cannot be believed: the day goes on without them."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import KisUnreachable
from engine.kis.auth import file_stem
from engine.kis.endpoints.options import DerivativeQuote
from tests.engine.kis.stub_kis import (
    KEY,
    StubKis,
    StubReply,
    json_reply,
    open_client,
    token_file,
)

QUOTE = DerivativeQuote("A01612", market="F")
START = datetime(2026, 11, 20, 10, 5, 2)


def token_answer(token: object, expires: object = "2026-11-21 08:00:00") -> StubReply:
    return json_reply({"access_token": token, "access_token_token_expired": expires})


NO_HEADERS = {
    "two lines": "token\r\nX-Evil: 1",
    "a line's end": "token\n",
    "NUL": "to\0ken",
    "a space": "to ken",
    "Korean": "토큰",
    "an accent": "tokén",
    "an emoji": "🎉",
    "empty": "",
    "far too long": "x" * 100_000,
    "a number": 12345,
    "a list": ["token"],
    "null": None,
}


@pytest.mark.parametrize("name", NO_HEADERS)
async def test_a_token_that_cannot_be_a_header_is_refused_and_not_kept(
    kis: StubKis, tmp_path: Path, caplog, name: str
) -> None:
    """It ended the day with a traceback, and the file kept it for the next starts."""
    kis.token = lambda: token_answer(NO_HEADERS[name]) if len(kis.tokens) == 1 else kis.good_token()
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisUnreachable):
            await client.call(QUOTE, deadline=START + timedelta(seconds=30))
        assert json.loads(token_file(tmp_path).read_text())["token"] is None
        await client.call(QUOTE)
    assert [asked.token for asked in kis.asked] == ["token-2"]
    lines = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1
    assert "cannot be used" in lines[0].message


EXPIRIES = {
    "with a zone": ("2026-11-20T23:05:02+00:00", datetime(2026, 11, 21, 8, 5, 2)),
    "in Seoul's zone": ("2026-11-21T08:00:00+09:00", datetime(2026, 11, 21, 8)),
    "seconds since 1970": (1795216800, datetime(2026, 11, 21, 8, 20)),
    "digits": ("20261121080000", datetime(2026, 11, 21, 8)),
    "slashes": ("2026/11/21 08:00:00", None),
    "no date": ("soon", None),
    "empty": ("", None),
    "null": (None, None),
    "a list": ([], None),
    "past": ("2026-11-20 09:00:00", None),
    "the year 9999": ("9999-12-31 23:59:59", datetime(2026, 11, 21, 10, 5, 2)),
    "the end of time": ("9999-12-31T23:59:59+00:00", None),
    "far too much": (1e300, None),
    "a day that does not exist": ("2026-02-30 00:00:00", None),
}


@pytest.mark.parametrize("name", EXPIRIES)
async def test_an_expiry_in_any_form_leaves_the_token_usable(
    kis: StubKis, tmp_path: Path, name: str
) -> None:
    """Where the time cannot be read or believed the token counts as good for six hours."""
    given, meant = EXPIRIES[name]
    kis.token = lambda: token_answer("token-1", given)
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await client.call(QUOTE)
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert len(kis.tokens) == 1
    kept = json.loads(token_file(tmp_path).read_text())["token"]["expires_at"]
    assert datetime.fromisoformat(kept) == (meant or START + timedelta(hours=6))


GOOD_FILE = {
    "requested_at": "2026-11-20T09:00:00",
    "token": {
        "access_token": "token-0",
        "issued_at": "2026-11-20T09:00:00",
        "expires_at": "2026-11-21T09:00:00",
    },
}


def token_file_with(**changes: object) -> str:
    content = {**GOOD_FILE, "token": GOOD_FILE["token"] | changes}  # type: ignore[operator]
    return json.dumps(content)


BAD_FILES = {
    "two lines": token_file_with(access_token="token\r\nX-Evil: 1"),
    "Korean": token_file_with(access_token="토큰"),
    "the end of time": token_file_with(expires_at="9999-12-31T23:59:59Z"),
    "asked at the end of time": json.dumps(GOOD_FILE | {"requested_at": "9999-12-31T23:59:59Z"}),
    "deep": "[" * 100_000,
    "no text": "\udcff\udcfe",
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_a_bad_token_file_is_ignored_and_replaced(
    kis: StubKis, tmp_path: Path, name: str
) -> None:
    file = tmp_path / f"{file_stem(kis.base_url, KEY)}-token.json"
    file.write_text(BAD_FILES[name], "utf-8", errors="surrogateescape")
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert [asked.token for asked in kis.asked] == ["token-1"]
    assert json.loads(file.read_text())["token"]["access_token"] == "token-1"


async def test_times_with_a_zone_in_the_file_are_understood(kis, tmp_path) -> None:
    file = tmp_path / f"{file_stem(kis.base_url, KEY)}-token.json"
    file.write_text(
        token_file_with(expires_at="2026-11-21T00:00:00Z", issued_at="2026-11-20T00:00:00Z")
    )
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert [asked.token for asked in kis.asked] == ["token-0"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("kind", ["fifo", "folder"])
async def test_what_is_no_file_in_the_place_of_the_token_does_not_block(
    kis: StubKis, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"{file_stem(kis.base_url, KEY)}-token.json"
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await client.call(QUOTE)
    assert [asked.token for asked in kis.asked] == ["token-1", "token-1"]

"""Every parser of what the network or a file holds, by its name, as tests call it."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson

from engine.clock import VirtualClock
from engine.errors import KisUnreachable, KrtError
from engine.fetchers import chain_rows
from engine.fetchers.auctions import AuctionFetcher
from engine.fetchers.futures_state import read_state
from engine.fetchers.halts import HaltRequest, VolatilityInterruptionFetcher
from engine.fetchers.market_snapshot import SnapshotFetcher
from engine.fetchers.option_chain import _prices, has_price
from engine.fetchers.price_limits import read_limits
from engine.fetchers.told_once import (
    FlowsFetcher,
    IndexFetcher,
    ProgrammeFetcher,
    StreamFetcher,
    StreamRequest,
)
from engine.history.bar_file_forms import read_table
from engine.kis import auth, holidays, odd_nights
from engine.kis.answer import Answer, json_object, read_body
from engine.kis.client import KisClient
from engine.kis.master import parse_master
from engine.kis.pacing import Pace, Priority
from engine.kis.stock_master import parse_stock_master
from engine.kis.stream import approval
from engine.kis.stream.allowance import Allowance
from engine.kis.stream.cipher import StreamKey, decrypt
from engine.kis.stream.messages import read_message, registration_of_frame
from engine.kis.transport import Reply
from engine.market.symbols import parse
from engine.market.told_once import ToldOnce
from engine.schemas import conform
from engine.settings import AppKey, load_settings
from engine.simulator import server
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.stream import requests
from engine.store import book_files, export, trade_files
from engine.store.backup.manifest import MANIFEST, read_manifest
from engine.store.embedded import cluster, running
from engine.store.spool import Spool, SpoolDamaged
from pipelines import universes
from pipelines.doctor import calendar_checks
from pipelines.evaluation.lake import Lake, open_lake
from pipelines.evaluation.trials import TrialLog

DAY = date(2026, 11, 18)
NOW = datetime(2026, 11, 18, 10, 5, 2)
MINUTE = datetime(2026, 11, 18, 10, 5)
NO_CLIENT = cast("KisClient", SimpleNamespace(secrets=list))


def answer(body: dict[str, Any]) -> Answer:
    """The answer as it comes: through JSON."""
    return Answer("TR", "A01612", orjson.loads(orjson.dumps(body)), NOW, NOW)


def told_once(fetcher: type[StreamFetcher], code: str) -> Callable[[Answer], object]:
    def read(found: Answer) -> object:
        symbol = parse(code)
        assert isinstance(symbol, ToldOnce)
        session = symbol.session(DAY)
        assert session is not None
        one = fetcher(NO_CLIENT)
        rows = one.read(found, StreamRequest(symbol, session, MINUTE))
        one.take_rejected().validate(full=True)
        return rows

    return read


def halts(found: Answer) -> object:
    fetcher = VolatilityInterruptionFetcher(NO_CLIENT)
    return fetcher._read(found, HaltRequest("005930", DAY))


def snapshot(found: Answer) -> object:
    fetcher = SnapshotFetcher(NO_CLIENT)
    return conform(fetcher._read(found, ("005930",), MINUTE), fetcher.schema)


OF_ANSWERS: dict[str, Callable[[Answer], object]] = {
    "engine.fetchers.told_once.FlowsFetcher.read": told_once(FlowsFetcher, "FLOWS_KOSPI"),
    "engine.fetchers.told_once.ProgrammeFetcher.read": told_once(
        ProgrammeFetcher, "PROGRAMME_KOSPI"
    ),
    "engine.fetchers.told_once.IndexFetcher.read": told_once(IndexFetcher, "INDEX_KOSPI"),
    "engine.fetchers.auctions.AuctionFetcher.read": told_once(AuctionFetcher, "AUCTIONS_A01612"),
    "engine.fetchers.auctions, of a stock": told_once(AuctionFetcher, "AUCTIONS_005930"),
    "engine.fetchers.halts.VolatilityInterruptionFetcher._read": halts,
    "engine.fetchers.market_snapshot.SnapshotFetcher._read": snapshot,
    "engine.fetchers.futures_state.read_state": lambda found: read_state(found, MINUTE),
    "engine.fetchers.price_limits.read_limits": lambda found: read_limits(found, "A01612"),
    "engine.fetchers.chain_rows.read_board": lambda found: [
        chain_rows.read_board(found.rows(side), NOW) for side in ("output1", "output2")
    ],
    "engine.fetchers.chain_rows.read_quotes": lambda found: chain_rows.read_quotes([found]),
    "engine.fetchers.option_chain._prices": lambda found: (_prices(found), has_price(found)),
    "engine.kis.holidays._read_days": lambda found: holidays._read_days(found.rows("output")),
}


class _Files:
    """Reads a content as the file that a parser knows; KrtError is its right to refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock(NOW)
        self.key = AppKey(app_key="key", app_secret="secret")

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def token(self, content: bytes) -> None:
        file = self.put("key-token.json", content)
        keeper = auth.TokenKeeper(
            cast("Any", None), self.key, file.with_suffix(""), self.clock, list
        )
        known = keeper._load()
        assert known.token is None or re.fullmatch(r"[\x21-\x7e]+", known.token.access_token)

    def approval(self, content: bytes) -> None:
        keeper = approval.ApprovalKeeper(
            cast("Any", None), self.key, self.folder / "key", self.clock
        )
        keeper._path.write_bytes(content)
        keeper._load()

    def allowance(self, content: bytes) -> None:
        allowance = Allowance(self.put("allowance.json", content), self.clock)
        assert 0 <= allowance.limit <= 41
        assert timedelta(0) <= allowance.wait() <= timedelta(minutes=11)

    def pace(self, content: bytes) -> None:
        async def turn() -> None:
            clock = VirtualClock(NOW)
            pace = Pace(self.put("key.pace", content), 15, clock)
            await pace.wait_turn(Priority.LIVE, 0)
            pace.close()
            assert clock.now() - NOW <= timedelta(seconds=10)

        asyncio.run(turn())

    def holidays(self, content: bytes) -> None:
        found = holidays._read_file(self.put("days.json", content))
        assert all(isinstance(is_open, bool) for is_open in found.values())
        holidays._read_day(self.put("days.asked", content))

    def nights(self, content: bytes) -> None:
        odd_nights._read(self.put("nights.json", content))

    def manifest(self, content: bytes) -> None:
        read_manifest(self.put(MANIFEST, content).parent)

    def config(self, content: bytes) -> None:
        self.put("config.json", content)
        load_settings(self.folder)

    def database_config(self, content: bytes) -> None:
        self.put("config.json", b"{}")
        self.put("db_config.json", content)
        load_settings(self.folder)

    def scenario(self, content: bytes) -> None:
        load_scenario(self.put("odd.toml", content))

    def csv(self, content: bytes) -> None:
        read_table(self.put("bars.csv", content), ["timestamp", "close"])

    def parquet(self, content: bytes) -> None:
        read_table(self.put("bars.parquet", content), ["timestamp", "close"])

    def spool(self, content: bytes) -> None:
        spool = Spool(self.folder / "spool")
        name = f"000000000001-futures_1m-{zlib.crc32(content):08x}.arrow"
        self.put(f"spool/{name}", content)
        for entry in spool.entries():
            with suppress(SpoolDamaged):
                spool.read(entry)

    def book(self, content: bytes) -> None:
        file = self.put(f"book/book_{DAY:%Y%m%d}.parquet", content)
        for parser in (book_files._names_in, lambda path: book_files._read([path])):
            with suppress(KrtError):
                parser(file)

    def export(self, content: bytes) -> None:
        export._fingerprint(self.put("stocks_1m.parquet", content))

    def trials(self, content: bytes) -> None:
        TrialLog(self.put("trials.jsonl", content), "data")

    def universe(self, content: bytes) -> None:
        file = self.put("stocks.parquet", content)
        universes._kept(file, "KOSPI", KisUnreachable("KIS is away"))

    def pause(self, content: bytes) -> None:
        situation = cast("Any", SimpleNamespace(clock=self.clock))
        assert calendar_checks._pause(self.put("allowance.json", content), situation) >= 0

    def port(self, content: bytes) -> None:
        assert 0 < cluster._port(self.put("port", content)) < 65_536

    def lake(self, content: bytes) -> None:
        file = self.put("lake/stocks_1m/year=2026/month=11/bars.parquet", content)
        with suppress(KrtError):
            open_lake(self.folder / "lake", start=DAY, end=DAY)
        Lake((str(file),), ("005930",), DAY, DAY).read(["005930"])

    def trades(self, content: bytes) -> None:
        trade_files._collect(self.put("trades.parquet", content))


def files_of(name: str) -> Callable[[bytes, Path], None]:
    return lambda content, folder: getattr(_Files(folder), name)(content)


def plain(read: Callable[[bytes], object]) -> Callable[[bytes, Path], None]:
    def parse_bytes(content: bytes, _folder: Path) -> None:
        read(content)

    return parse_bytes


def text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def token_answer(content: bytes) -> None:
    for status in (200, 403, 500):
        with suppress(KrtError):
            body = auth._read_answer(Reply(status, content), ["secret"])
            auth._expiry(body.get("access_token_token_expired"), NOW)


def registration(content: bytes) -> None:
    with suppress(requests.Malformed):
        requests.read_registration(text(content))


OF_BYTES: dict[str, Callable[[bytes, Path], None]] = {
    "engine.kis.answer.json_object": plain(lambda content: json_object(Reply(200, content))),
    "engine.kis.answer.read_body": plain(lambda content: read_body(Reply(200, content))),
    "engine.kis.auth._read_answer": plain(token_answer),
    "engine.kis.auth.TokenKeeper._load": files_of("token"),
    "engine.kis.stream.approval.ApprovalKeeper._load": files_of("approval"),
    "engine.kis.stream.allowance.Allowance._load": files_of("allowance"),
    "engine.kis.pacing.Pace._read": files_of("pace"),
    "engine.kis.holidays._read_file": files_of("holidays"),
    "engine.kis.odd_nights._read": files_of("nights"),
    "engine.kis.master.parse_master": plain(parse_master),
    "engine.kis.stock_master.parse_stock_master": plain(
        lambda content: parse_stock_master(content, "KOSPI")
    ),
    "engine.kis.stream.cipher.decrypt": plain(
        lambda content: decrypt(text(content), StreamKey("k" * 32, "v" * 16))
    ),
    "engine.kis.stream.messages.read_message": plain(lambda content: read_message(text(content))),
    "engine.kis.stream.messages.registration_of_frame": plain(
        lambda content: registration_of_frame(text(content))
    ),
    "engine.store.backup.manifest.read_manifest": files_of("manifest"),
    "engine.settings.load_settings": files_of("config"),
    "engine.settings, of the database": files_of("database_config"),
    "engine.simulator.faults.scenario.load_scenario": files_of("scenario"),
    "engine.history.bar_file_forms._read_csv": files_of("csv"),
    "engine.history.bar_file_forms._read_parquet": files_of("parquet"),
    "engine.store.spool.Spool.read": files_of("spool"),
    "engine.store.book_files._read": files_of("book"),
    "engine.store.trade_files._collect": files_of("trades"),
    "pipelines.evaluation.lake.Lake.read": files_of("lake"),
    "engine.store.export._fingerprint": files_of("export"),
    "engine.store.embedded.running._whereabouts": plain(running._whereabouts),
    "engine.store.embedded.cluster._port": files_of("port"),
    "engine.simulator.stream.requests.read_registration": plain(registration),
    "engine.simulator.stream.requests.is_pingpong": plain(
        lambda content: requests.is_pingpong(text(content))
    ),
    "engine.simulator.server._object": plain(server._object),
    "pipelines.doctor.calendar_checks._pause": files_of("pause"),
    "pipelines.evaluation.trials.TrialLog.__init__": files_of("trials"),
    "pipelines.universes._kept": files_of("universe"),
}

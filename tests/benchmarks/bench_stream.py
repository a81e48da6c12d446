"""How fast frames of the WebSocket become columns, side by side with the ways most programs do it.

A plain split and slice gives 12 of the 46 fields of a stock's trade as text, nothing more; ours
reads 16 of them as numbers, times and sides and checks each record. A dict for each record is how
the official sample reads them. Bars row by row are made as most programs make them: a dict a
record, a bar in a dict updated by each. It gives the same bars (checked here). The frames are made
here: a walk of prices in records as long as real ones.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from engine.features.ticks import bars_from_trades
from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame, read_frames
from engine.market.hours import Market, session
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, in_turns
from tests.engine.kis.stream.sample_frames import THREE_STOCKS, changed, frame, records

TR = "H0STCNT0"
DAY = date(2026, 11, 20)
OPEN = datetime(2026, 11, 20, 9, 0)
NAMES = LAYOUTS[TR].fields
WIDTH = len(NAMES)
KEPT = (
    "MKSC_SHRN_ISCD",
    "STCK_CNTG_HOUR",
    "STCK_PRPR",
    "CNTG_VOL",
    "ACML_VOL",
    "ACML_TR_PBMN",
    "SHNU_CNTG_SMTN",
    "SELN_CNTG_SMTN",
    "BIDP1",
    "ASKP1",
    "BIDP_RSQN1",
    "ASKP_RSQN1",
)
PLACES = [NAMES.index(name) for name in KEPT]
SMALL, TIMES = 60, 50  # records that come at once in a busy second; how often they are read
TARGET = 250_000  # records a second, where a plain split and slice does 285,000
TINY = {"rounds": 1, "count": 120}
QUICK = {"rounds": 3, "count": 6_000}


def made_records(count: int) -> list[list[str]]:
    """Return so many trades of one stock, three a second."""
    rng = np.random.default_rng(0)
    prices = (71_000 + 100 * np.cumsum(rng.integers(-1, 2, count))).clip(1_000).tolist()
    sizes = rng.integers(1, 200, count).tolist()
    volumes = list(itertools.accumulate(sizes))
    turnovers = itertools.accumulate(p * s for p, s in zip(prices, sizes, strict=True))
    template = records(THREE_STOCKS)[0]
    rows = zip(prices, sizes, volumes, turnovers, strict=True)
    return [
        changed(
            template,
            TR,
            {
                "STCK_CNTG_HOUR": f"{OPEN + timedelta(seconds=number // 3):%H%M%S}",
                "BSOP_DATE": f"{DAY:%Y%m%d}",
                "STCK_PRPR": price,
                "CNTG_VOL": size,
                "ACML_VOL": volume,
                "ACML_TR_PBMN": turnover,
            },
        )
        for number, (price, size, volume, turnover) in enumerate(rows)
    ]


def made_frames(given: Sequence[list[str]], per_frame: int) -> list[Frame]:
    """Return frames of so many records each."""
    return [
        (OPEN + timedelta(seconds=start // 3 + 1), frame(TR, *given[start : start + per_frame]))
        for start in range(0, len(given), per_frame)
    ]


def split_and_slice(frames: Sequence[Frame]) -> list[list[str]]:
    """Return twelve columns of text."""
    fields = "^".join([text.split("|", 3)[3] for _, text in frames]).split("^")
    return [fields[place::WIDTH] for place in PLACES]


def dicts(frames: Sequence[Frame]) -> list[dict[str, str]]:
    """Return a dict for each record."""
    found: list[dict[str, str]] = []
    for _, text in frames:
        _, _, count, body = text.split("|", 3)
        fields = body.split("^")
        found += [
            dict(zip(NAMES, fields[start : start + WIDTH], strict=True))
            for start in range(0, int(count) * WIDTH, WIDTH)
        ]
    return found


def bars_row_by_row(frames: Sequence[Frame]) -> dict[datetime, list[float]]:
    """Return open, high, low, close, volume and turnover by stamp, a step for each record."""
    bars: dict[datetime, list[float]] = {}
    for record in dicts(frames):
        moment = datetime.strptime(f"{DAY:%Y%m%d}{record['STCK_CNTG_HOUR']}", "%Y%m%d%H%M%S")
        stamp = moment.replace(second=0) + timedelta(minutes=1)
        price, size = float(record["STCK_PRPR"]), int(record["CNTG_VOL"])
        bar = bars.setdefault(stamp, [price, price, price, price, 0, 0.0])
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4] += size
        bar[5] += price * size
    return bars


def bars_at_once(frames: Sequence[Frame]) -> pl.DataFrame:
    """Return the bars as the collector makes them."""
    held = session(Market.STOCKS, DAY)
    assert held is not None
    trades = pl.DataFrame(pl.from_arrow(read_frames(frames).trades))
    return bars_from_trades(trades.lazy(), held.stamp_of_trade(pl.col("traded_at"))).collect()


def check_equal(frames: Sequence[Frame], count: int) -> None:
    """Compare the baselines with ours: a race between unlike things says nothing."""
    ours = read_frames(frames)
    assert ours.trades.num_rows == count
    assert ours.counts["rejected"] == 0
    given = dicts(frames)
    assert ours.trades.column("price").to_pylist() == [float(one["STCK_PRPR"]) for one in given]
    names = ("timestamp", "open", "high", "low", "close", "volume", "turnover")
    bars = {stamp: list(values) for stamp, *values in bars_at_once(frames).select(names).rows()}
    assert bars == bars_row_by_row(frames)


def measure(env: BenchEnv, *, rounds: int = 9, count: int = 60_000) -> list[Row]:
    """Measure many records in frames of three and of one, and the few that come at once."""
    given = made_records(count)
    threes, ones = made_frames(given, 3), made_frames(given, 1)
    few = ones[:SMALL]
    check_equal(threes, count)
    took = in_turns(
        {
            "slice": lambda: split_and_slice(threes),
            "slice ones": lambda: split_and_slice(ones),
            "dicts": lambda: dicts(threes),
            "threes": lambda: read_frames(threes),
            "ones": lambda: read_frames(ones),
            "few dicts": lambda: [dicts(few) for _ in range(TIMES)],
            "few": lambda: [read_frames(few) for _ in range(TIMES)],
            "row by row": lambda: bars_row_by_row(threes),
            "bars": lambda: bars_at_once(threes),
        },
        rounds,
        clock=time.process_time,
    )
    most, least = count / TARGET, TARGET / 285_000
    return [
        Row(
            "frames of 3 records to columns vs split and slice",
            took["threes"],
            took["slice"],
            count,
            least=least,
            most=most,
        ),
        Row(
            "frames of 1 record to columns vs split and slice",
            took["ones"],
            took["slice ones"],
            count,
            least=least,
            most=most,
        ),
        Row("frames to columns vs a dict a record", took["threes"], took["dicts"], count),
        Row(
            f"{SMALL} frames of 1 record vs a dict a record",
            took["few"] / TIMES,
            took["few dicts"] / TIMES,
            SMALL,
            most=0.001,
        ),
        Row(
            "frames to trades to bars vs row by row",
            took["bars"],
            took["row by row"],
            count,
            least=5,
        ),
    ]

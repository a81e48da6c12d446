"""The shares that the simulated KRX lists, about as many as the real one, as KIS's master files.

The stocks of `price_levels.STOCKS` have their real names, all others made-up ones (종목 and the
code), as in the simulator's other answers. Prices, accounts and credit are zero in the files.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl

from engine.kis.stock_layout import CODE_BYTES, LAYOUTS, MEMBERSHIP, NAME_BYTES, STANDARD_BYTES
from engine.market.symbols import Stock, parse
from engine.simulator.kept import kept_by_owner
from engine.simulator.market.data import MarketData, draws
from engine.simulator.market.price_levels import ON_KOSDAQ, STOCKS, stock_name
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket

FILES = {"KOSPI": "kospi_code.mst", "KOSDAQ": "kosdaq_code.mst"}
# How many of each group, and whether preferred: 2,700 in all.
_GROUPS = {
    "KOSPI": (("ST", "0", 780), ("ST", "1", 90), ("RT", "0", 20), ("EF", "0", 90), ("EN", "0", 20)),
    "KOSDAQ": (("ST", "0", 1_640), ("FS", "0", 10), ("SPAC", "0", 50)),
}
_MEMBERS = {"KOSPI": 200, "KOSDAQ": 150}
_HALTED, _MANAGED = 0.01, 0.02  # shares of all
_FIRST_LISTING, _LISTING_DAYS = date(1975, 6, 11), 18_500
_NUMBERS = {"size", "etp"}  # fields of one letter that hold a digit and not Y or N


@kept_by_owner(8)
def stock_master_file(traded: MarketData, market: str, day: date) -> bytes:
    """Return the zip of a market's master file on a day, always the same for a seed."""
    listed = listed_stocks(traded, market, day)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(FILES[market], (day.year, day.month, day.day, 6, 0, 0))
        archive.writestr(entry, b"".join(_lines(listed, market)), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def listed_stocks(traded: MarketData, market: str, day: date) -> pl.DataFrame:
    """Return a row for each share: the fields of a master file in which shares differ, as text."""
    seed = traded.seed if isinstance(traded, SyntheticMarket) else 0
    random = draws(seed, "listing", market)
    groups = pl.concat(
        pl.DataFrame({"group": group, "preferred": preferred, "n": range(count)})
        for group, preferred, count in _GROUPS[market]
    )
    known = [code for code in _known(traded) if (code in ON_KOSDAQ) == (market == "KOSDAQ")]
    taken = {*STOCKS, *known}
    # Codes of common shares end in 0, of preferred ones in 5; KOSPI has the even hundreds of them.
    # Those of ETNs begin with Q5 and above.
    others = [
        number
        for number in random.permutation(40_000).tolist()
        if (number // 100) % 2 == (market == "KOSDAQ") and f"{number:05}0" not in taken
    ]
    preferred = groups["preferred"] == "1"
    codes = [
        *known,
        *(
            f"Q{50_000 + number}0"
            if group == "EN"
            else f"{number:05}{'5' if is_preferred else '0'}"
            for number, group, is_preferred in zip(
                others, groups["group"][len(known) :], preferred[len(known) :], strict=False
            )
        ),
    ]
    count = groups.height
    on_day = draws(seed, "listing", market, day)
    days = random.integers(0, _LISTING_DAYS, count).tolist()
    sectors = random.integers(1, 30, count)
    frame = groups.select(
        pl.Series("code", codes),
        pl.col("group").replace("SPAC", "ST"),
        "preferred",
        spac=pl.when(pl.col("group") == "SPAC").then(pl.lit("Y")).otherwise(pl.lit("N")),
        sector_large=pl.Series(sectors).cast(pl.String).str.zfill(4),
        halted=_flags(on_day.random(count) < _HALTED, len(known)),
        managed=_flags(random.random(count) < _MANAGED, len(known)),
        listed_from=pl.Series(
            [f"{_FIRST_LISTING + timedelta(days=number):%Y%m%d}" for number in days]
        ),
    )
    member = pl.int_range(pl.len()) < _MEMBERS[market]
    field = MEMBERSHIP[market][0]
    yes, no = ("5", "0") if market == "KOSPI" else ("Y", "N")
    return frame.with_columns(pl.when(member).then(pl.lit(yes)).otherwise(pl.lit(no)).alias(field))


def _known(traded: MarketData) -> list[str]:
    """Return the stocks that have a real name, and those of a recorded file."""
    recorded = traded.symbols if isinstance(traded, RecordedMarket) else []
    stocks = (symbol for symbol in recorded if isinstance(parse(symbol), Stock))
    return list(dict.fromkeys([*STOCKS, *stocks]))


def _flags(drawn: Iterable[bool], known: int) -> pl.Series:
    """Return Y or N for each stock; always N for the first `known` ones, which trade as ever."""
    return pl.Series(["Y" if flag and n >= known else "N" for n, flag in enumerate(drawn)])


def _lines(listed: pl.DataFrame, market: str) -> Iterable[bytes]:
    fields = [
        pl.col(name).str.pad_end(width)
        if name in listed.columns
        else pl.lit(_usual(name, width)).alias(name)
        for name, width in LAYOUTS[market].widths.items()
    ]
    tails = listed.select(tail=pl.concat_str(fields))["tail"]
    for code, tail in zip(listed["code"], tails, strict=True):
        name = stock_name(code).encode("cp949").ljust(NAME_BYTES)
        head = f"{code:<{CODE_BYTES}}{f'KR7{code[-6:]}003':<{STANDARD_BYTES}}"
        yield head.encode() + name + tail.encode() + b"\n"


def _usual(name: str, width: int) -> str:
    """Return what a field holds that is the same for all shares: N for a flag, else zeros."""
    return "N" if width == 1 and name not in _NUMBERS else "0" * width

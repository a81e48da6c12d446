"""Are the stocks that the settings name listed, and do all settings fit into KIS's pace?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from engine.clock import today
from engine.errors import KrtError
from engine.market.symbols import Stock, parse
from engine.market.universes import members, split_universes
from engine.simulator.market.synthetic import SyntheticMarket
from pipelines.day.budget import Budget, configured_budget, span_text
from pipelines.doctor.finding import Finding, Situation
from pipelines.simulation import SEED
from pipelines.universes import read_listings

_MOST_NAMED = 8  # codes in a line


def check_stocks(situation: Situation) -> Iterator[Finding]:
    """Does KIS list what stocks, follow, sweep and snapshot name, and is it traded?"""
    if situation.trouble:
        yield Finding("stocks", "unknown", "the configuration cannot be read", "see configuration")
        return
    settings = situation.settings
    named = {
        "follow": (*settings.stocks, *settings.follow),
        "sweep": settings.sweep,
        "snapshot": settings.snapshot,
    }
    if not any(named.values()):
        yield Finding("stocks", "well", "the settings name none")
        return
    wrong: list[str] = []
    for setting, texts in named.items():
        codes = split_universes(texts)[1]
        wrong += [f"{text} in `{setting}`" for text in codes if not _is_stock(text)]
    if wrong:
        remedy = (
            "name stocks by their six characters (`just symbols TEXT` finds them), or universes"
        )
        yield Finding("stocks", "amiss", f"no stock: {_some(wrong)}", remedy)
        return
    market = None if settings.has_credentials else SyntheticMarket(SEED)
    try:
        listed = read_listings(situation.clock, settings, market)
    except KrtError as error:
        yield Finding("stocks", "unknown", str(error), "see network; run it again")
        return
    yield _judge(named, listed)


def _judge(named: dict[str, tuple[str, ...]], listed: pl.DataFrame) -> Finding:
    known, state = set(listed["symbol"]), dict(listed.select("symbol", "halted").iter_rows())
    counts, codes = [], dict[str, None]()
    for setting, texts in named.items():
        universes, others = split_universes(texts)
        if texts:
            stocks = {*others, *(members(listed, universes) if universes else ())}
            counts.append(f"`{setting}` {len(stocks):,}")
        codes |= dict.fromkeys(others)
    says = f"stocks of {', '.join(counts)}"
    if unknown := [code for code in codes if code not in known]:
        return Finding(
            "stocks",
            "amiss",
            f"not listed, or no longer: {_some(unknown)}; {says}",
            "take them out of the settings; `just symbols CODE` says until when one was listed",
        )
    if halted := [code for code in codes if state[code]]:
        says = f"{says}; halted today, so nothing comes of them: {_some(halted)}"
    return Finding("stocks", "well", says)


def check_pace(situation: Situation) -> Iterator[Finding]:
    """Does what the settings ask for fit into the pace and the time, as `just plan` says?"""
    if situation.trouble:
        yield Finding("pace", "unknown", "the configuration cannot be read", "see configuration")
        return
    try:
        found = configured_budget(situation.settings, situation.clock)
    except KrtError as error:
        day = today(situation.clock)
        yield Finding("pace", "unknown", f"{day}: {error}", "see stocks, configuration, calendar")
        return
    if found.troubles:
        remedy = "`just plan` shows what each part costs; ask for less, or raise calls_per_second"
        yield Finding("pace", "amiss", "; ".join(found.troubles), remedy)
        return
    yield Finding("pace", "well", _costs(found))


def _costs(found: Budget) -> str:
    """Return what `just plan` says, in one line."""
    says = f"{found.calls} of {found.most:.0f} calls a minute"
    if found.sweep_calls:
        says += f"; the sweep takes {span_text(found.sweep_takes)} at most"
    stays = f", beside {found.stays:,} that stay" if found.stays else ""
    return f"{says}; {found.grows:,} MB a year{stays}"


def _is_stock(text: str) -> bool:
    try:
        return isinstance(parse(text), Stock)
    except KrtError:
        return False


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

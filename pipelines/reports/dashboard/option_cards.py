"""Smile, gamma exposure, open interest, term structure, our volatility index; flows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

import polars as pl

from engine.market.symbols import parse
from pipelines.reports.charts.options import NEAR
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.option_board import ShownOptions
from pipelines.reports.dashboard.svg import Line, Marker, picture
from pipelines.texts import Texts

_TONES = ("c0", "c1", "c2", "c3", "c4", "c5")
_LEVELS = ("call_wall", "put_wall", "zero_gamma")
_GROUPS = ("foreign", "institution", "individual")
_MARKETS = ("KOSPI200_FUTURES", "KOSPI")
_ZERO = datetime(1970, 1, 1)


def option_figures(t: Texts, options: ShownOptions) -> str:
    """Return the figures of the chain in cards."""
    summary = options.summary
    own = options.surface.filter(pl.col("underlying_symbol") == options.chain)
    smile = next(own.iter_rows(named=True), {})
    found = [
        cards.card(t("underlying"), cards.number(summary["forward"]), name="forward"),
        cards.card(t("atm_volatility"), cards.number(summary["atm_volatility"], " %"), name="atm"),
        cards.card(t("risk_reversal"), cards.number(summary["risk_reversal_25d"], " %p")),
        cards.card(t("butterfly"), cards.number(summary["butterfly_25d"], " %p")),
        cards.card(
            t("expected_move"),
            _plus_minus(smile.get("expected_move_close")),
            t("expected_move_note", expiry=_plus_minus(smile.get("expected_move_expiry"))),
        ),
        cards.card(
            t("put_call"),
            cards.number(summary["put_call_volume_ratio"]),
            t("put_call_note", interest=cards.number(summary["put_call_open_interest_ratio"])),
        ),
        cards.card(t("max_pain"), cards.number(summary["max_pain"])),
        cards.card(t("days_to_expiry"), cards.number(summary["days_to_expiry"], digits=1)),
    ]
    return cards.side_by_side(found)


def _plus_minus(value: object) -> str:
    return f"±{value:,.2f}" if isinstance(value, float) else cards.NONE


def pictures(t: Texts, options: ShownOptions | None, flows: pl.DataFrame) -> str:
    """Return the cards with pictures: options first, then the flows."""
    drawn = (
        []
        if options is None
        else [
            _smile(t, options),
            _exposure(t, options),
            _interest(t, options),
            _term(t, options),
            _index(t, options),
        ]
    )
    figures = option_figures(t, options) if options else ""
    return figures + f'<div class="pictures">{"".join([*drawn, *_flows(t, flows)])}</div>'


def _card(title: str, big: str, drawn: str, note: str, name: str) -> str:
    value = f'<span class="big">{escape(big)}</span>' if big else ""
    return (
        f'<section class="card" data-krt="{name}"><h3>{escape(title)}</h3>{value}{drawn}'
        f"<small>{escape(note)}</small></section>"
    )


def _smile(t: Texts, options: ShownOptions) -> str:
    near = options.smiles.filter((pl.col("strike") / pl.col("forward") - 1).abs() <= NEAR)
    known = near.drop_nulls("fitted_iv")
    lines = []
    for number, name in enumerate(options.surface["underlying_symbol"]):
        tone, rows = _TONES[number % len(_TONES)], known.filter(pl.col("underlying_symbol") == name)
        quoted = rows.filter(pl.col("iv") > 0).select("strike", "iv")
        lines += [
            Line(t.name(parse(name)), tone, rows.select("strike", "fitted_iv").rows()),
            Line("", tone, quoted.rows(), dots=True),
        ]
    title = t("smile_title")
    forward = options.summary["forward"]
    rules = [Marker(t("underlying"), forward, "forward")] if forward and known.height else []
    drawn = picture(title, lines, rules=rules)
    note = t("smile_note", at=f"{options.at:%H:%M}") if drawn else t("smile_none")
    return _card(title, "", drawn, note, "smile")


def _exposure(t: Texts, options: ShownOptions) -> str:
    found = options.whole or next(options.surface.iter_rows(named=True), {})
    forward = found.get("forward")
    title = t("exposure_title")
    if forward is None or found.get("gamma_exposure") is None:
        return _card(title, "", "", t("smile_none"), "exposure")
    levels = {name: found[name] for name in _LEVELS if found[name] is not None}
    low = min(forward * (1 - NEAR), *levels.values())
    high = max(forward * (1 + NEAR), *levels.values())
    near = options.gamma.filter(pl.col("strike").is_between(low, high)).with_columns(
        pl.col("gamma_exposure") / t.large_won
    )
    sides = [
        Line(
            t(word),
            tone,
            near.filter(pl.col("option_type") == side).select("strike", "gamma_exposure").rows(),
        )
        for side, word, tone in (("C", "calls", "call"), ("P", "puts", "put"))
    ]
    rules = [Marker(f"{t('underlying')} {forward:,.1f}", forward, "forward")]
    rules += [Marker(f"{t(name)} {value:,.1f}", value, name) for name, value in levels.items()]
    total = f"{t.in_large_won(found['gamma_exposure'], signed=True)} {t('exposure_unit')}"
    drawn = picture(title, sides, rules=rules, bars=True)
    note = t("exposure_note", total=total, maturities=found["maturities"])
    return _card(title, total, drawn, note, "exposure")


def _interest(t: Texts, options: ShownOptions) -> str:
    """Return how the open interest of each strike has changed: calls and puts of the chain."""
    title, forward = t("interest_title"), options.summary["forward"]
    if forward is None or options.since is None:
        return _card(title, "", "", t("smile_none"), "interest")
    near = options.strikes.filter((pl.col("strike") / forward - 1).abs() <= NEAR)
    sides = [
        Line(t(word), tone, near.select("strike", f"{side}_change").drop_nulls().rows())
        for side, word, tone in (("c", "calls", "c1"), ("p", "puts", "c2"))
    ]
    rules = [Marker(f"{t('underlying')} {forward:,.1f}", forward, "forward")]
    drawn = picture(title, sides, rules=rules)
    return _card(title, "", drawn, t("interest_note", since=options.since_text), "interest")


def _term(t: Texts, options: ShownOptions) -> str:
    rows = options.surface.drop_nulls("atm_volatility").select(
        days=pl.col("years") * 365, iv="atm_volatility"
    )
    lines = [Line("", "c0", rows.rows()), Line("", "c0", rows.rows(), dots=True)]
    title = t("term_title")
    drawn = picture(title, lines)
    return _card(title, "", drawn, t("term_note") if drawn else t("smile_none"), "term")


def _index(t: Texts, options: ShownOptions) -> str:
    names = {"vkospi": "index_30d", "vkospi_weekly": "index_7d", "atm_30d": "atm_30d"}
    lines = [
        Line(t(key), tone, _by_time(options.index, name))
        for (name, key), tone in zip(names.items(), _TONES, strict=False)
        if options.index[name].count()
    ]
    title = t("index_title")
    value = options.whole.get("vkospi")
    drawn = picture(title, lines, write_x=_time)
    note = t("index_note") if value is not None else t("index_none")
    return _card(title, cards.number(value), drawn, note, "vkospi")


def _flows(t: Texts, flows: pl.DataFrame) -> Sequence[str]:
    """Return a card for each market whose flows are stored; one that says so where none is."""
    markets = [name for name in _MARKETS if name in flows["symbol"].unique()]
    if not markets:
        return [_card(t("flows_title"), "", "", t("flows_none"), "flows")]
    return [_flow(t, name, flows.filter(pl.col("symbol") == name)) for name in markets]


def _flow(t: Texts, market: str, flows: pl.DataFrame) -> str:
    lines = []
    for who, tone in zip(_GROUPS, _TONES, strict=False):
        of_group = flows.filter(pl.col("investor") == who)
        last = of_group["net_volume"].to_list()[-1:]
        name = f"{t(who)} {last[0]:+,}" if last else t(who)
        lines.append(Line(name, tone, _by_time(of_group, "net_volume")))
    at: datetime = flows["timestamp"][-1]
    title = t("flows_title")
    note = t("flows_note", market=t.subject(market), at=f"{at:%H:%M}")
    return _card(title, "", picture(title, lines, write_x=_time), note, "flows")


def _by_time(rows: pl.DataFrame, name: str) -> list[tuple[float, float]]:
    """Return the values of a column by the hour of the day; of a night by hours past 24."""
    known = rows.drop_nulls(name)
    begin = known["timestamp"].min()
    if not isinstance(begin, datetime):
        return []
    midnight = begin.replace(hour=0, minute=0)
    hours = (pl.col("timestamp") - midnight).dt.total_seconds() / 3600
    return known.select(hours, name).rows()


def _time(hours: float) -> str:
    moment = _ZERO + timedelta(hours=hours)
    return f"{moment:%H:%M}"

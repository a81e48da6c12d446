"""What `just status` prints: whether all is well, in sentences, and the tables behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from engine.history.completeness import COUNTS, MISSING, gap_runs
from engine.history.feed_standing import STREAM_OFF
from pipelines.json_rows import json_rows
from pipelines.reports.standing import Standing
from pipelines.reports.terminal import print_frame, print_json

_ROWS_SHOWN = 50  # of a table: a whole market has thousands


def sentences(standing: Standing) -> list[str]:
    """Return what is well or amiss, a line each, the worst first."""
    if standing.state == "unknown":
        return ["⚠️ nothing has been collected in the last sessions; start with `just live`"]
    lines = []
    if standing.lacks_collector:
        lines.append(f"❌ no collector is running ({_last_sign(standing)}); {_missing(standing)}")
    if standing.nobody_collected:
        lines.append(f"❌ no collector has run today ({_last_sign(standing)})")
    days = standing.figures.group_by("session").agg(pl.col(COUNTS).sum())
    lacking = days.filter(pl.col("missing") > 0).sort("session", descending=True)
    lines += [
        f"⚠️ {row['session']}: {_parts(row)} of {row['expected']:,} are missing"
        for row in lacking.iter_rows(named=True)
    ]
    if standing.figures["open"].sum() and not standing.session_is_on:
        lines.append("`just backfill` asks KIS for those that are open")
    return lines or [f"✅ nothing is missing of the last sessions; {_collector(standing)}"]


def feed_lines(standing: Standing, *, stream: bool) -> list[str]:
    """Return how the feed does, a line each; `stream` is what the settings say of it."""
    if standing.feed:
        return standing.feed.says()
    return [f"no feed today: {_why_no_feed(stream=stream)}"]


def _why_no_feed(*, stream: bool) -> str:
    return "no collector has used it yet" if stream else STREAM_OFF


def _last_sign(standing: Standing) -> str:
    if standing.heartbeat is None:
        return "there was never a heartbeat"
    beat = standing.heartbeat
    return f"the last heartbeat: {beat.status}, {beat.at:%Y-%m-%d %H:%M}"


def _missing(standing: Standing) -> str:
    since = standing.missing_since
    if since is None:
        return "nothing is missing yet"
    return f"{standing.missing_today:,} minutes are missing since {since:%H:%M}"


def _parts(row: dict[str, Any]) -> str:
    kinds = [f"{row[state]:,} {state}" for state in MISSING if row[state]]
    return f"{row['missing']:,} minutes ({', '.join(kinds)})"


def _collector(standing: Standing) -> str:
    return "the collector runs" if standing.session_is_on else "no collector has to run now"


def status_json(
    standing: Standing, tables: dict[str, pl.DataFrame], *, stream: bool = False
) -> dict[str, Any]:
    """Return everything as one object: figures in minutes, times KST."""
    feed = standing.feed.as_json() if standing.feed else {"symbols": []}
    totals = {name: int(standing.figures[name].sum()) for name in COUNTS}
    return {
        "state": standing.state,
        "exit_code": standing.exit_code,
        "says": sentences(standing),
        "now": standing.now.isoformat(),
        "simulated": standing.simulated,
        "lacks_collector": standing.lacks_collector,
        **totals,
        "missing_today": standing.missing_today,
        "feed": {"says": feed_lines(standing, stream=stream), **feed},
        "sessions": json_rows(standing.by_stream),
        "symbols": json_rows(standing.figures),
        "gap_list": json_rows(gap_runs(standing.gaps)),
        "tables": {title: json.loads(frame.write_json()) for title, frame in tables.items()},
    }


def print_status(
    standing: Standing,
    tables: dict[str, pl.DataFrame],
    format: Literal["table", "json", "csv"],  # noqa: A002 - as the option is called
    *,
    stream: bool = False,
    names: Callable[[str], str] | None = None,
) -> None:
    """Print the sentences (in a table only) and the tables; `names` are for codes in a table."""
    if format == "table":
        lines = [*sentences(standing), *feed_lines(standing, stream=stream)]
        sys.stdout.write("\n".join(lines) + "\n")
    runs = gap_runs(standing.gaps)
    ours = {
        "The last sessions, minutes by stream": standing.by_stream,
        "Missing minutes": runs,
    }
    if standing.feed:
        ours["By feed, delays in seconds"] = standing.feed.symbols.drop("session")
    for title, frame in (ours | tables).items():
        if format != "table":
            print_frame(frame, format, title)
            continue
        shown, numbers = _for_people(frame.head(_ROWS_SHOWN))
        print_frame(shown, format, title, names=names, numbers=numbers)
        if left := frame.height - shown.height:
            sys.stdout.write(f"… and {left:,} rows more, with `just status --format csv`\n")


def _for_people(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the frame with words above it and numbers as people write them, and which those are.

    Thousands are separated; of a fraction five digits are shown.
    """
    titles = {name: name.replace("_", " ") for name in frame.columns}
    numbers = frame.select(pl.selectors.numeric()).columns
    written = frame.with_columns(pl.col(numbers).map_elements(_number, pl.String))
    return written.rename(titles), [titles[name] for name in numbers]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5f}".rstrip("0").rstrip(".")


def print_status_json(
    standing: Standing, tables: dict[str, pl.DataFrame], *, stream: bool = False
) -> None:
    """Print everything as one line of JSON."""
    print_json(json.dumps(status_json(standing, tables, stream=stream), ensure_ascii=False))

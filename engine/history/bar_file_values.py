"""The values of a file of bars in our types: symbols, moments in Seoul, numbers.

Nothing is guessed. A text that is not a number, a number that is not a count, a symbol that KRX
does not have: each is a reason to refuse the row.
"""

from __future__ import annotations

import polars as pl

from engine.clock import KST
from engine.columns import PRICES, TIME
from engine.errors import CalendarRangeError, InputError
from engine.history.bar_file_checks import RowCheck, without_far_times
from engine.history.bar_file_forms import ROW, BarTable
from engine.market.symbols import OptionChain, parse
from engine.market.told_once import ToldOnce
from engine.market.trading_days import rules

NUMBERS = (*PRICES, "volume")
_A_STOCK = "005930"
_RAW = "raw_"  # before the name of a column: as the file has it
_LARGEST = 2**53  # from here on a float does not tell two counts apart
_SEPARATED = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
# 2026-11-16 09:00, 2026-11-16T09:00:00.000000+0900, 2026-11-16 9:00 (Excel), … 00:00:00+00, …Z
_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})[ T](?<hour>\d{1,2}):(?<minute>\d{2})"
    r"(?::(?<second>\d{2})(?:\.(?<fraction>\d{1,9}))?)?"
    r" ?(?<zone>Z|UTC|(?<sign>[+-])(?<zone_hour>\d{2})(?::?(?<zone_minute>\d{2}))?)?$"
)
_ZONE = r":.*[ZC+-]"  # an hour and then a zone, in a time of that form


def typed_rows(table: BarTable) -> pl.DataFrame:
    """Return the rows in our types, null where a value cannot be read.

    Volumes are floats until they are known to be counts. The values of the file stand beside them
    with the prefix `raw_`. Raises InputError for a column of another type.
    """
    rows = table.rows
    for name in NUMBERS:
        _check_number_type(table, name)
    kind = rows.schema["symbol"]
    if not isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        lost = ": the zeros at its beginning are lost" if kind.is_numeric() else ""
        raise InputError(f"{table.path}: symbol is {kind}; it has to be text{lost}")
    typed = rows.with_columns(
        *(_number(name, rows.schema[name]) for name in NUMBERS),
        _moment(table, rows.schema["timestamp"]),
        pl.col("symbol").cast(pl.String).replace(_codes(rows)),
    )
    return typed.hstack(rows.select(pl.exclude(ROW).name.prefix(_RAW)))


def _check_number_type(table: BarTable, name: str) -> None:
    kind = table.rows.schema[name]
    is_text_of_csv = kind == pl.String and table.all_text
    if not (kind.is_numeric() or is_text_of_csv):
        raise InputError(f"{table.path}: {name} is {kind}; it has to be a number")


def _number(name: str, kind: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if kind == pl.String:
        value = value.str.strip_chars()
    elif kind == pl.Float32:
        value = value.cast(pl.String)  # 1000.55, not the nearest float of 32 bits
    return value.cast(pl.Float64, strict=False)


def _moment(table: BarTable, kind: pl.DataType) -> pl.Expr:
    """Return the times as the clock in Seoul shows them; those with a zone say where they are."""
    moment = pl.col("timestamp")
    if isinstance(kind, pl.Datetime):
        moment = without_far_times(moment)
        if kind.time_zone:
            moment = moment.dt.convert_time_zone(KST.key).dt.replace_time_zone(None)
        return moment.cast(TIME)
    if kind == pl.String:
        return pl.lit(_moments_of_texts(table.rows["timestamp"])).alias("timestamp")
    raise InputError(f"{table.path}: timestamp is {kind}; it has to be times, with hour and minute")


def _moments_of_texts(texts: pl.Series) -> pl.Series:
    """Read times, each text once: the symbols of a file share their minutes."""
    known = texts.unique().alias("text").to_frame()
    known = known.with_columns(moment=_moment_of_text(pl.col("text")))
    return (
        texts.alias("text")
        .to_frame()
        .join(known, on="text", how="left", maintain_order="left")["moment"]
    )


def _moment_of_text(text: pl.Expr) -> pl.Expr:
    """Read times in ISO form, in Seoul unless they name a zone; null for anything else."""
    part = text.str.strip_chars().str.extract_groups(_ISO).struct
    clock = [part[name].str.zfill(2).fill_null("00") for name in ("hour", "minute", "second")]
    fraction = part["fraction"].str.pad_end(6, "0").str.head(6).fill_null("000000")
    written = pl.format("{} {}:{}:{}.{}", part["day"], *clock, fraction)
    moment = written.str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", strict=False)
    ahead = part["zone_hour"].cast(pl.Int64) * 60 + part["zone_minute"].fill_null("0").cast(
        pl.Int64
    )
    sign = pl.when(part["sign"] == "-").then(-1).otherwise(1)
    in_seoul = moment - pl.duration(minutes=(sign * ahead).fill_null(0)) + pl.duration(hours=9)
    return pl.when(part["zone"].is_null()).then(moment).otherwise(in_seoul)


def _codes(rows: pl.DataFrame) -> dict[str, str]:
    """Return the codes of texts that mean a front month: A01 and 101_FRONT are A01_FRONT."""
    codes = {}
    for text in rows["symbol"].cast(pl.String).drop_nulls().unique():
        if not _why_unknown(text):
            codes[text] = parse(text).code
    return {text: code for text, code in codes.items() if text != code}


def _why_unknown(text: str) -> str:
    try:
        found = parse(text)
    except CalendarRangeError:
        return "a symbol outside the years that the calendar knows"
    except InputError:
        cut = text.isdecimal() and len(text) < len(_A_STOCK)
        return "a symbol has lost the zeros at its beginning" if cut else "an unknown symbol"
    if isinstance(found, ToldOnce):
        return "a stream of KIS has no bars of its own here"
    return "an option chain has no bars" if isinstance(found, OptionChain) else ""


def value_checks(table: BarTable, typed: pl.DataFrame) -> list[RowCheck]:
    """Return the checks of single values: there, readable, and of a volume a count."""
    checks = [*_symbol_checks(typed), *_moment_checks(typed)]
    for name in NUMBERS:
        checks += _number_checks(name, table.rows.schema[name])
    volume = pl.col("volume")
    is_count = (volume >= 0) & (volume < _LARGEST) & (volume % 1 == 0)
    return [*checks, RowCheck("volume is not a count", volume.is_finite() & ~is_count, ["volume"])]


def _symbol_checks(typed: pl.DataFrame) -> list[RowCheck]:
    symbol = pl.col("symbol")
    texts: dict[str, list[str]] = {}
    for text in typed["symbol"].drop_nulls().unique():
        texts.setdefault(_why_unknown(text), []).append(text)
    wrong = [RowCheck(why, symbol.is_in(found), ["symbol"]) for why, found in texts.items() if why]
    return [RowCheck("symbol is missing", symbol.is_null(), ["symbol"]), *wrong]


def _moment_checks(typed: pl.DataFrame) -> list[RowCheck]:
    moment, raw = pl.col("timestamp"), pl.col(f"{_RAW}timestamp")
    is_text = typed.schema[f"{_RAW}timestamp"] == pl.String
    known = moment.dt.date().is_between(rules()["first_day"], rules()["last_day"])
    unread = raw.is_not_null() & moment.is_null()
    unknown = ~known if is_text else ~known | unread
    checks = [
        RowCheck("timestamp is missing", raw.is_null(), ["timestamp"]),
        RowCheck("a day that the calendar does not know", unknown, ["timestamp"]),
    ]
    if is_text:
        form = "timestamp is not a time in ISO form (2026-11-16 09:00)"
        checks.append(RowCheck(form, unread, ["timestamp"]))
        has_zone = raw.str.contains(_ZONE)
        mixed = ~has_zone & has_zone.any() & moment.is_not_null()
        checks.append(
            RowCheck("timestamp has no zone, where others have one", mixed, ["timestamp"])
        )
    return checks


def _number_checks(name: str, kind: pl.DataType) -> list[RowCheck]:
    value, raw = pl.col(name), pl.col(f"{_RAW}{name}")
    unread = raw.is_not_null() & (value.is_null() | ~value.is_finite())
    checks = [RowCheck(f"{name} is missing", raw.is_null(), [name])]
    if kind == pl.String:
        unread_text = pl.when(value.is_null()).then(raw.str.strip_chars())
        separated = unread_text.str.contains(_SEPARATED).fill_null(value=False)
        checks.append(RowCheck(f"{name} has a thousands separator", separated, [name]))
        unread &= ~separated
    return [*checks, RowCheck(f"{name} is not a number", unread, [name])]

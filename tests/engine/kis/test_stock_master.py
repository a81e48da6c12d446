"""The master files of shares: lines built from the documented layout, and whatever else comes."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import KisUnreachable
from engine.kis.stock_layout import LAYOUTS
from engine.kis.stock_master import parse_stock_master

# Written out by hand, column by column, so that a mistake in the table of widths shows.
KOSPI_TAIL = (
    "ST1002700130000"  # group, size, sectors
    "NNN5YYY0NY"  # makes things, …, KOSPI200 sector, KOSPI100, KOSPI50, KRX, ETP, ELW, KRX100
    "NYNNN"  # cars, chips, bio, banks, SPAC
    "NN0NNNNNNNN"  # energy, steel, overheated, …, SRI
    "000158000"  # base price
    "0000100001"  # lots
    "NNN"  # halted, in liquidation, managed
    "00NNN000000020Y090"  # warning, …, margin, credit
    "000018000000"  # volume of the day before
    "000000000100"  # par
    "19750611"  # listed
    "000000005919637"  # shares
    "000000000778047000000"  # capital
    "120000000"  # closing month, offer price
    "0NNYY"  # preferred, short selling, surge, KRX300, KOSPI
    "00010000000002000000002100000015000000120"  # sales, profits, return on equity
    "20260630"  # of
    "009350000"  # market value
    "005NYY"
)
KOSDAQ_TAIL = (
    "ST1100910270000"
    "YNY0N"  # venture, illiquid, KRX, ETP, KRX100
    "NNNNN"  # cars, chips, bio, banks, SPAC
    "NN0NNNNNNNY"  # …, KOSDAQ150
    "000172600"
    "0000100001"
    "YNY"
    "00NNN000000040N000"
    "000000700000"
    "000000000500"
    "20190305"
    "000000000097801"
    "000000000048900000000"
    "120048000"
    "0NNN"
    "00001000000000100000000100000001000000010"
    "20260630"
    "000168000"
    "000NYN"
)


def packed(*lines: bytes, ending: bytes = b"\n") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kospi_code.mst", b"".join(line + ending for line in lines))
    return buffer.getvalue()


def line(code: str, name: str, tail: str, standard: str = "KR7005930003") -> bytes:
    return f"{code:<9}{standard:<12}".encode() + name.encode("cp949").ljust(40) + tail.encode()


SAMSUNG = line("005930", "삼성전자", KOSPI_TAIL)
ECOPRO = line("247540", "에코프로비엠", KOSDAQ_TAIL, "KR7247540008")


def changed(text: str, at: int, value: str) -> str:
    return text[:at] + value + text[at + len(value) :]


def test_the_layouts_are_as_long_as_the_published_ones() -> None:
    """KIS's samples cut 228 and 222 letters from the end, the end of the line among them."""
    assert (LAYOUTS["KOSPI"].tail, LAYOUTS["KOSDAQ"].tail) == (227, 221)
    assert (len(KOSPI_TAIL), len(KOSDAQ_TAIL)) == (227, 221)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_of_kospi_is_read_field_by_field(ending: bytes) -> None:
    found = parse_stock_master(packed(SAMSUNG, ending=ending), "KOSPI")
    assert found.odd == []
    assert found.listings.to_dicts() == [
        {
            "symbol": "005930",
            "name": "삼성전자",
            "market": "KOSPI",
            "kind": "common",
            "group_code": "ST",
            "sector_large": "0027",
            "sector_medium": "0013",
            "sector_small": None,
            "index_member": "KOSPI200",
            "halted": False,
            "liquidating": False,
            "managed": False,
            "listed_from": date(1975, 6, 11),
            "standard_code": "KR7005930003",
        }
    ]


def test_a_line_of_kosdaq_is_read_field_by_field() -> None:
    (found,) = parse_stock_master(packed(ECOPRO), "KOSDAQ").listings.to_dicts()
    assert (found["symbol"], found["name"], found["market"]) == ("247540", "에코프로비엠", "KOSDAQ")
    assert (found["sector_large"], found["sector_medium"]) == ("1009", "1027")
    assert (found["index_member"], found["listed_from"]) == ("KOSDAQ150", date(2019, 3, 5))
    assert (found["halted"], found["liquidating"], found["managed"]) == (True, False, True)


@pytest.mark.parametrize(
    ("group", "preferred", "kind"),
    [
        ("ST", "0", "common"),
        ("ST", "1", "preferred"),
        ("ST", "2", "preferred"),
        ("EF", " ", "ETF"),
        ("EN", " ", "ETN"),
        ("RT", "0", "REIT"),
        ("ZZ", "0", "other"),
    ],
)
def test_kinds_are_told_apart(group: str, preferred: str, kind: str) -> None:
    tail = changed(changed(KOSPI_TAIL, 0, group), 158, preferred)
    (found,) = parse_stock_master(packed(line("Q500001", "가", tail)), "KOSPI").listings.to_dicts()
    assert (found["symbol"], found["kind"], found["group_code"]) == ("Q500001", kind, group)


def test_blank_fields_are_null_and_not_a_member() -> None:
    tail = changed(changed(KOSPI_TAIL, 18, " "), 105, " " * 8)
    (found,) = parse_stock_master(packed(line("005930", "가", tail)), "KOSPI").listings.to_dicts()
    assert (found["index_member"], found["listed_from"]) == (None, None)
    tail = changed(KOSPI_TAIL, 105, "20261399")
    (found,) = parse_stock_master(packed(line("005930", "가", tail)), "KOSPI").listings.to_dicts()
    assert found["listed_from"] is None


def test_a_torn_line_is_kept_beside_the_others() -> None:
    torn = SAMSUNG[:-30]
    strange = line("00-930", "가", KOSPI_TAIL)
    found = parse_stock_master(packed(SAMSUNG, torn, SAMSUNG, strange, SAMSUNG), "KOSPI")
    assert found.listings["symbol"].to_list() == ["005930"]
    assert found.odd == [torn.decode("cp949"), strange.decode("cp949")]


def test_a_name_that_cannot_be_decoded_spoils_only_itself() -> None:
    line_of = b"005930   KR7005930003\xff\xfe" + b" " * 38 + KOSPI_TAIL.encode()
    found = parse_stock_master(packed(line_of, SAMSUNG.replace(b"005930 ", b"005931 ")), "KOSPI")
    assert found.listings["symbol"].to_list() == ["005930", "005931"]
    assert found.odd == []


@pytest.mark.parametrize(
    ("market", "content"),
    [
        ("KOSPI", ECOPRO),
        ("KOSDAQ", SAMSUNG),
        ("KOSPI", SAMSUNG + b"0"),  # a new field at the end
        ("KOSPI", SAMSUNG[:-1]),  # one less
        ("KOSPI", SAMSUNG[:90] + b"N" + SAMSUNG[90:]),  # one more in the middle
        ("KOSPI", b"1|A01612|KR4A01612005|F 202612|||1|2001|KOSPI200"),
        ("KOSPI", b""),
    ],
)
def test_a_file_of_another_layout_is_refused_as_a_whole(market: str, content: bytes) -> None:
    with pytest.raises(KisUnreachable, match=f"the master file of {market} has another layout"):
        parse_stock_master(packed(*[content] * 20), market)


@given(st.binary(max_size=700), st.sampled_from(["KOSPI", "KOSDAQ"]), st.booleans())
def test_any_bytes_are_read_or_refused_in_our_words(
    content: bytes, market: str, in_a_zip: bool
) -> None:
    with suppress(KisUnreachable):
        parse_stock_master(packed(content) if in_a_zip else content, market)


@given(st.data())
def test_damage_to_a_line_loses_no_line(data: st.DataObject) -> None:
    """Each line is either listed or kept as odd."""
    at = data.draw(st.integers(0, len(SAMSUNG) - 1))
    put = data.draw(st.binary(min_size=1, max_size=20).filter(lambda b: not {10, 13} & {*b}))
    damaged = SAMSUNG[:at] + put + SAMSUNG[at + data.draw(st.integers(0, 20)) :]
    others = [line(f"00593{n}", "가", KOSPI_TAIL) for n in range(1, 4)]
    found = parse_stock_master(packed(*others, damaged), "KOSPI")
    symbols = found.listings["symbol"].to_list()
    assert {"005931", "005932", "005933"} <= {*symbols}
    assert len(found.odd) + len(symbols) == 4 or (len(symbols), len(found.odd)) == (3, 0)

"""The master file lists instruments; one that cannot be read may be downloaded again."""

from __future__ import annotations

import io
import zipfile

import polars as pl
import pytest

from engine.errors import KisUnreachable
from engine.kis.master import options_like, parse_master

LINES = [
    "1|A01612|KR4A01612005|F 202612                      |||1|2001|KOSPI200",
    "5|B01612A97|KR4B01612A97|C 202612 1097.5               |1|1097.50|1|2001|KOSPI200",
    "5|B01612B00|KR4B01612B00|C 202612 1100.0               |3|  1100.00|1|2001|KOSPI200",
    "6|C01612A97|KR4C01612A97|P 202612 1097.5               |1|1097.50|1|2001|KOSPI200",
    "5|B01701A97|KR4B01701A97|C 202701 1097.5               |1|1097.50|2|2001|KOSPI200",
    "L|B0920300A|KR4B0920300A|위클리C 2612W3 300.0            |3|-|1|2001|KOSPI200",
]


def packed(text: str | bytes, *names: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = text.encode("cp949") if isinstance(text, str) else text
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names or ("fo_idx_code_mts.mst",):
            archive.writestr(name, raw)
    return buffer.getvalue()


def test_codes_names_and_strikes_are_read() -> None:
    master = parse_master(packed("\r\n".join(LINES)))
    assert master.rows()[:2] == [
        ("A01612", "F 202612", None),
        ("B01612A97", "C 202612 1097.5", 1097.5),
    ]
    assert master["strike"].to_list() == [None, 1097.5, 1100.0, 1097.5, 1097.5, None]
    assert master["name"][-1] == "위클리C 2612W3 300.0"


def test_a_line_without_nine_fields_or_code_is_left_out() -> None:
    master = parse_master(packed("\n".join([*LINES, "", "x|y", "|" * 8, "1|2|3|4|5|6|7|8|9|10"])))
    assert len(master) == len(LINES)


def test_undecodable_letters_spoil_only_their_name() -> None:
    assert len(parse_master(packed(b"1|A01612|K|\xff\xfe\xff||1.0|1|2001|K\n"))) == 1


def test_the_codes_on_a_board_select_the_options_of_its_series() -> None:
    master = parse_master(packed("\n".join(LINES)))
    found = options_like(master, pl.Series(["B01612C00", "C01612C00"]))
    assert found.rows() == [("B01612A97", 1097.5), ("B01612B00", 1100.0), ("C01612A97", 1097.5)]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"PK\x03\x04", packed("x", "a", "b")[:-4], packed("x", "a", "b")]
)
def test_a_file_that_is_not_a_zip_of_one_text_is_unreachable(content: bytes) -> None:
    with pytest.raises(KisUnreachable):
        parse_master(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_byte_raises_nothing_but_kis_unreachable(method: int) -> None:
    """Another error would end the day of all symbols."""
    whole = packed("\n".join(LINES), method=method)
    refused = 0
    for index in range(len(whole)):
        try:
            parse_master(whole[:index] + bytes([whole[index] ^ 0xFF]) + whole[index + 1 :])
        except KisUnreachable:
            refused += 1
    assert refused > len(whole) / 3


def test_a_file_that_unpacks_too_large_is_refused() -> None:
    with pytest.raises(KisUnreachable, match="large"):
        parse_master(packed(b"0" * (65 << 20)))

"""What all charts share: colours, the Korean font, title and source, and saving to a file."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import altair as alt
import polars as pl
import pylopdf_fonts_ko
import vl_convert
from fontTools import subset
from fontTools.ttLib import TTFont

from engine.errors import InputError
from engine.settings import DataKind
from pipelines.texts import Texts

Picture: TypeAlias = Any  # altair's charts have no common type with the methods they share
Titled: TypeAlias = tuple[Picture, str, str]  # with its title and what is noted below it
Width: TypeAlias = int | Literal["container"]  # pixels, or as wide as the page

FONT = "Noto Sans KR"  # SIL Open Font License, from a wheel: few machines have a Korean font
FONTS = f"{FONT}, sans-serif"
# Okabe and Ito, "Color Universal Design" (2008)
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, GREY, INK = "#56B4E9", "#CC79A7", "#F0E442", "#9A9A9A", "#1A1A1A"
UP, DOWN = "#C8102E", "#1257C4"  # what rises, buys, gains; what falls, sells, loses: as the page
CLOCK = "%H:%M"
WIDTH = 860

_PNG = b"\x89PNG\r\n\x1a\n"

alt.data_transformers.enable("default", max_rows=None)  # a day's matrix has more than 5,000 cells


def with_title(picture: Picture, title: str, *notes: str) -> Picture:
    """Return the picture with a title, the notes below it (units, source) and our style."""
    heading = alt.TitleParams(
        title,
        subtitle=list(notes),
        anchor="start",
        fontSize=17,
        fontWeight="normal",
        subtitleFontSize=12,
        subtitleColor="#555555",
        offset=12,
    )
    return (
        picture.properties(title=heading, padding=14, background="white")
        .configure(font=FONTS)
        .configure_axis(
            labelFontSize=11,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor="#E8E8E8",
            domainColor="#888888",
            tickColor="#888888",
        )
        .configure_legend(
            labelFontSize=11, titleFontSize=12, titleFontWeight="normal", labelLimit=260
        )
        .configure_header(labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
        .configure_view(stroke=None)
    )


def credit(t: Texts, kind: DataKind) -> str:
    """Return whose data a picture shows, by the kind of its database."""
    return t(f"credit_{kind}")


def side_names(t: Texts) -> dict[str, str]:
    """Return what calls and puts are called, by option_type."""
    return {"C": t("side_call"), "P": t("side_put")}


def chain_names(t: Texts, rows: pl.DataFrame) -> dict[str, str]:
    """Return what the chains of `underlying_symbol` are called."""
    return {code: t.name_of(code) for code in rows["underlying_symbol"].unique()}


def maturity_names(t: Texts, rows: pl.DataFrame) -> dict[str, str]:
    """Return what tells the chains of `underlying_symbol` apart: their names without the series."""
    whole = chain_names(t, rows)
    names = sorted(whole.values())
    if len(names) < 2:
        return whole
    # The words that all have in common: of weeklies beside months the series itself differs.
    first, last = names[0].split(" "), names[-1].split(" ")
    same = next((n for n, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), 0)
    return {code: " ".join(name.split(" ")[same:]) for code, name in whole.items()}


def clock_axis(title: str | None = None, **options: Any) -> alt.X:
    """Return the axis of `timestamp` over a day."""
    axis = alt.Axis(
        format=CLOCK, labelAngle=0, tickCount=10, labelOverlap="greedy", labelSeparation=8
    )
    return alt.X("timestamp:T", title=title, axis=axis, **options)


def save(picture: Picture, file: Path) -> None:
    """Write the picture as PNG or SVG, by the file's suffix; no browser, no network.

    An SVG contains the letters of the font that it uses, so that it shows Korean anywhere. Raises
    InputError for another suffix or a file that cannot be written.
    """
    suffix = file.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InputError(f"{file.name}: a picture ends in .png or .svg")
    _register_font()
    specification = picture.to_json()
    content = (
        _recompress(vl_convert.vegalite_to_png(specification, scale=2))
        if suffix == ".png"
        else _with_font(vl_convert.vegalite_to_svg(specification)).encode()
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None


def _recompress(png: bytes) -> bytes:
    """Compress the same pixels better: to a quarter or a fifth of the renderer's bytes."""
    chunks = []
    place = len(_PNG)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        chunks.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + length]))
        place += length + 12
    pixels = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    others = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    packed = [*others[:-1], (b"IDAT", zlib.compress(pixels, 9)), others[-1]]  # IEND comes last
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in packed
    )


@cache
def _register_font() -> None:
    vl_convert.register_font_directory(str(pylopdf_fonts_ko.sans_path().parent))


def _with_font(svg: str) -> str:
    """Return the SVG with the letters of the font that it uses."""
    start = svg.index(">") + 1
    return f"{svg[:start]}<style>{font_face(svg)}</style>{svg[start:]}"


def font_face(text: str) -> str:
    """Return the CSS of the Korean font, reduced to the letters of the text."""
    font = TTFont(pylopdf_fonts_ko.sans_path())
    subsetter = subset.Subsetter(subset.Options(layout_features=["kern"]))
    subsetter.populate(text=text)
    subsetter.subset(font)
    font.flavor = "woff"
    buffer = io.BytesIO()
    font.save(buffer)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'@font-face{{font-family:"{FONT}";src:url(data:font/woff;base64,{data})}}'

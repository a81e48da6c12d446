"""The master file of index futures and options: which codes and strikes are listed.

It is a zip with one text file in cp949, a line for each instrument, with nine fields separated by
`|`: product kind, short code, standard code, Korean name, ATM class, strike, month class, code and
name of the underlying (KIS's own header file for fo_idx_code_mts.mst; docs/kis.md#master-file).
"""

from __future__ import annotations

import io
import zipfile
import zlib

import polars as pl

from engine.errors import KisUnreachable
from engine.kis import codec
from engine.market.codes import contract_code, product_and_maturity
from engine.market.products import OptionSeries
from engine.text import visible

_FIELDS = [
    "kind",
    "symbol",
    "standard_code",
    "name",
    "atm_class",
    "strike",
    "month_class",
    "underlying",
    "underlying_name",
]
# What zipfile and zlib raise on damaged bytes.
_UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError)
_USUAL = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others need modules that may be missing
_LARGEST = 16 << 20  # bytes unpacked; the real file has about one megabyte


def parse_master(packed: bytes) -> pl.DataFrame:
    """Return symbol, name, strike (index points, null for futures) of every listed instrument.

    A line that has no code, or not nine fields, is left out. Raises KisUnreachable if the file
    cannot be read: the next download may be whole.
    """
    lines = pl.Series(
        "line",
        map(visible, unpack(packed).decode("cp949", errors="replace").splitlines()),
        pl.String,
    )
    parts = lines.str.split("|")
    frame = parts.to_frame().filter(pl.col("line").list.len() == len(_FIELDS))
    text = frame.select(
        pl.col("line").list.get(index).str.strip_chars().alias(name)
        for index, name in enumerate(_FIELDS)
    )
    return text.filter(pl.col("symbol") != "").select("symbol", "name", codec.number("strike"))


def unpack(packed: bytes) -> bytes:
    """Return the one file in a zip of KIS's. Raises KisUnreachable if that cannot be done."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            (member,) = archive.infolist()
            if member.compress_type not in _USUAL:
                raise KisUnreachable("the master file is packed in a way that KIS does not use")
            if member.file_size > _LARGEST:
                raise KisUnreachable("the master file is far too large to be true")
            with archive.open(member) as file:
                return file.read(_LARGEST)  # no further: the size in its header may be wrong
    except _UNREADABLE_ZIP as error:
        raise KisUnreachable(f"the master file is not a zip of one text file: {error}") from None


def options_of(master: pl.DataFrame, series: OptionSeries, maturity: str) -> pl.DataFrame:
    """Return symbol and strike of all listed options of a series and maturity."""
    codes = [contract_code(product, maturity) for product in (series.call, series.put)]
    return options_like(master, pl.Series(codes))


def options_like(master: pl.DataFrame, codes: pl.Series) -> pl.DataFrame:
    """Return symbol and strike of all listed options of the same series and maturity as `codes`.

    With the codes on a board that finds the rest of its chain, of weeklies, too.
    """
    wanted = codes.to_frame("symbol").select(product_and_maturity(pl.col("symbol")).unique())
    return master.filter(
        product_and_maturity(pl.col("symbol")).is_in(wanted["symbol"].implode()),
        pl.col("strike") > 0,
    ).select("symbol", "strike")

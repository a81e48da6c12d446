"""Every parser of what the network or a file holds, against anything.

They are in parsers.py; test_parser_list.py sees that none is missing. What once broke one, or
might, lies in corpus/: `bodies` are answers in JSON, read by all that read answers; `bytes` are
contents, read by all that read bytes. All of it is read again at each run.
"""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import KrtError
from engine.schemas import BOOK, TRADES
from tests.databases import LONG
from tests.hostile.parsers import NOW, OF_ANSWERS, OF_BYTES, answer

CORPUS = Path(__file__).parent / "corpus"
FUZZED = settings(
    max_examples=2_000 if LONG else 40, suppress_health_check=list(HealthCheck), deadline=None
)

FIELDS = [
    "stck_bsop_date",
    "stck_cntg_hour",
    "futs_oprc",
    "futs_hgpr",
    "futs_lwpr",
    "futs_prpr",
    "cntg_vol",
    "acml_tr_pbmn",
    "futs_mxpr",
    "futs_llam",
    "futs_prdy_clpr",
    "hts_otst_stpl_qty",
    "basis",
    "hts_thpr",
    "dprt",
    "unas_prpr",
    "bsop_hour",
    "optn_shrn_iscd",
    "acpr",
    "optn_prpr",
    "optn_bidp",
    "optn_askp",
    "acml_vol",
    "delta_val",
    "hts_ints_vltl",
    "bstp_nmix_prpr",
    "bstp_nmix_oprc",
    "bstp_nmix_hgpr",
    "bstp_nmix_lwpr",
    "arbt_smtn_seln_tr_pbmn",
    "whol_smtn_ntby_tr_pbmn",
    "futs_antc_cnpr",
    "antc_cnpr",
    "antc_vol",
    "aspr_acpt_hour",
    "mksc_shrn_iscd",
    "bsop_date",
    "cntg_vi_hour",
    "vi_cncl_hour",
    "vi_kind_code",
    "frgn_seln_vol",
    "frgn_ntby_qty",
    "bank_ntby_vol",
    "bass_dt",
    "inter_shrn_iscd",
    "inter2_prpr",
    "opnd_yn",
]
VALUES = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1080.30",
        "12",
        "20261118",
        "20261117",
        "100400",
        "090000",
        "250000",
        "999999",
        "B01612A97",
        "005930",
        "Y",
        "N",
        "1",
        "nan",
        "1,000",
        "\0",
        "1e9",
        "9" * 30,
        "２",
        " 5 ",
    ]
)
INTEGERS = st.integers(-(2**63), 2**64 - 1)  # as JSON comes to us
ANYTHING = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=6) | VALUES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
RECORD = st.dictionaries(st.sampled_from(FIELDS), VALUES | ANYTHING, max_size=12)
PART = RECORD | st.lists(RECORD | ANYTHING, max_size=4) | ANYTHING
BODIES = st.dictionaries(st.sampled_from(["output", "output1", "output2"]), PART)


def bodies() -> list[Path]:
    return sorted((CORPUS / "bodies").iterdir())


@pytest.mark.parametrize("name", OF_ANSWERS)
@pytest.mark.parametrize("file", bodies(), ids=lambda file: file.stem)
def test_an_answer_of_the_corpus_is_read(name: str, file: Path) -> None:
    OF_ANSWERS[name](answer(orjson.loads(file.read_bytes())))


@pytest.mark.parametrize("name", OF_ANSWERS)
@FUZZED
@given(body=BODIES)
@example(body={"output": [None], "output1": [None], "output2": [None]})
def test_any_answer_is_read(name: str, body: dict[str, Any]) -> None:
    read = OF_ANSWERS[name](answer(body))
    if isinstance(read, pa.RecordBatch):
        read.validate(full=True)


def _parquet(schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pl.DataFrame(schema.empty_table()).write_parquet(sink)
    return sink.getvalue()


def _zip(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fo_idx_code_mts.mst", content)
    return sink.getvalue()


def _arrow() -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"symbol": ["A01612"] * 3, "close": [1.0, 2.0, 3.0]})
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _bars() -> bytes:
    sink = io.BytesIO()
    times = [NOW + timedelta(minutes=n) for n in range(50)]
    pl.DataFrame({"timestamp": times, "close": [float(n) for n in range(50)]}).write_parquet(sink)
    return sink.getvalue()


GOOD = [
    b'{"rt_cd":"0","msg_cd":"MCA00000","output":[{"bass_dt":"20261118","opnd_yn":"Y"}]}',
    b'{"access_token":"abc","access_token_token_expired":"2026-11-19 08:00:00"}',
    b'{"requested_at":"2026-11-18T08:00:00","token":{"access_token":"a","issued_at":"2026-11-18T08:00:00","expires_at":"2026-11-19T08:00:00"}}',
    b'{"approval_key":"abc","issued_at":"2026-11-18T08:00:00"}',
    b'{"connections":["2026-11-18T08:00:00"],"paused_until":"2026-11-18T10:10:00","limit":41,"limit_learned_at":"2026-11-18T08:00:00"}',
    b'{"2026-11-18":true,"2026-11-19":false}',
    b'["2026-11-18"]',
    b'{"header":{"tr_id":"H0IFCNT0","tr_key":"A","encrypt":"Y"},"body":{"rt_cd":"0","msg_cd":"OPSP0000","output":{"key":"k","iv":"v"}}}',
    b"0|H0IFCNT0|001|A05608^1^2",
    b'{"app_key":"a","app_secret":"b","stocks":["005930"],"collect":["flows"]}',
    b'{"postgres_url":"postgresql://u:p@localhost/x"}',
    b'[[rule]]\nwhat = "empty_answer"\nendpoint = "bars"\n',
    b"timestamp,close\n2026-11-18 09:01:00,1080.3\n2026-11-18 09:02:00,1080.4\n",
    bytes(40),
    _zip(b"1|A01612|KR4A01612005|F 202612|||1|2001|KOSPI200\n" * 5),
    _arrow(),
    _bars(),
    _parquet(BOOK),
    _parquet(TRADES),
]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Anything, or something good with a few pieces changed, doubled or left out."""
    found = draw(st.sampled_from(GOOD) | st.binary(max_size=80))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(found)))
        gone = draw(st.integers(0, 30))
        put = draw(st.binary(max_size=8) | st.sampled_from(PIECES))
        found = found[:at] + put + found[at + gone :]
    return found


PIECES = [b"null", b"[]", b"{}", b"-1", b"1e999", b'"', b"\0", b"\xff\xfe", b"9" * 30, b"[" * 2_000]
PIECES += [b"9999-12-31T23:59:59", b"0001-01-01", b"+09:00", b"\n", b"true", b"\xb0\xa1"]


def read(name: str, content: bytes, folder: Path) -> None:
    """Read the content; only an error of ours may come of it."""
    with suppress(KrtError):
        OF_BYTES[name](content, folder)


@pytest.mark.parametrize("name", OF_BYTES)
@pytest.mark.parametrize("file", sorted((CORPUS / "bytes").iterdir()), ids=lambda file: file.name)
def test_a_content_of_the_corpus_is_read_or_refused(name: str, file: Path, tmp_path: Path) -> None:
    read(name, file.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", OF_BYTES)
@FUZZED
@given(content=contents())
def test_any_content_is_read_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    read(name, content, tmp_path)

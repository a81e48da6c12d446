"""Pictures for reports: whole, not empty, Korean legible without a Korean font on the machine."""

from __future__ import annotations

import base64
import io
import re
from datetime import date, time
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
import vl_convert
from fontTools.ttLib import TTFont
from PIL import Image

from engine.errors import InputError
from pipelines.commands.main import main
from pipelines.reports import queries
from pipelines.reports.charts.smile import smile_chart
from pipelines.reports.charts.style import save, with_title
from pipelines.reports.pictures import Choice, What, draw
from pipelines.texts import Texts
from tests.databases import long

DAY = date(2026, 11, 16)
KO, EN = Texts("ko"), Texts("en")
PADDING = 14  # of every picture, in its own pixels; drawn twice as large
WHATS: list[What] = [
    *("day", "smile", "matrix", "summary", "coverage", "flows"),
    *("surface", "exposure", "term", "flow", "volatility"),
]


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


@pytest.mark.parametrize("what", WHATS)
def test_an_english_picture_has_no_korean_letter_and_a_korean_one_has(
    what: What, filled: str
) -> None:
    drawn = {
        t.language: draw(filled, what, Choice(day=DAY), t, "live").to_json(ensure_ascii=False)
        for t in (KO, EN)
    }
    assert re.findall(r"[ㄱ-힣]+", drawn["en"]) == []
    assert len(re.findall(r"[ㄱ-힣]+", drawn["ko"])) > 15
    assert "KIS Open API" in drawn["en"]


@pytest.mark.parametrize(
    "what", [what if what in ("day", "smile") else long(what) for what in WHATS]
)
def test_nothing_is_clipped_and_nothing_is_empty(what: What, filled: str, tmp_path: Path) -> None:
    file = tmp_path / f"{what}.png"
    save(draw(filled, what, Choice(day=DAY), KO, "simulation"), file)
    image = pixels(file)
    edge = PADDING
    margins = [image[:edge], image[-edge:], image[:, :edge], image[:, -edge:]]
    assert all((margin == 255).all() for margin in margins)
    inked = (image.min(axis=2) < 250).mean()
    assert inked > 0.015
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_a_png_is_packed_and_has_the_pixels_that_were_drawn(filled: str, tmp_path: Path) -> None:
    picture = draw(filled, "matrix", Choice(day=DAY), KO, "simulation")
    save(picture, tmp_path / "matrix.png")
    drawn = vl_convert.vegalite_to_png(picture.to_json(), scale=2)
    (tmp_path / "drawn.png").write_bytes(drawn)
    assert (pixels(tmp_path / "matrix.png") == pixels(tmp_path / "drawn.png")).all()
    assert (tmp_path / "matrix.png").stat().st_size < len(drawn) / 2


def test_an_svg_brings_along_the_glyphs_that_it_uses(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "smile.svg"
    save(draw(filled, "smile", Choice(day=DAY), KO, "simulation"), file)
    svg = file.read_text("utf-8")
    found = re.search(r"base64,([A-Za-z0-9+/=]+)", svg)
    assert found
    glyphs = TTFont(io.BytesIO(base64.b64decode(found[1]))).getBestCmap()
    hangul = {ord(c) for c in re.sub(r"<style>.*?</style>", "", svg) if "가" <= c <= "힣"}
    assert len(hangul) > 20
    assert hangul <= set(glyphs)
    assert 'font-family="Noto Sans KR' in svg


def test_korean_is_letters_and_not_boxes(tmp_path: Path) -> None:
    """Without a font every syllable is the same box."""
    images = []
    for syllable in "가힣":
        text = (
            alt.Chart(pl.DataFrame({"a": [1]})).mark_text(size=40).encode(text=alt.value(syllable))
        )
        save(with_title(text, ""), tmp_path / f"{syllable}.png")
        images.append(pixels(tmp_path / f"{syllable}.png"))
    assert images[0].shape == images[1].shape
    assert (images[0] != images[1]).any()


def test_what_is_drawn_can_be_chosen(filled: str) -> None:
    stock = draw(filled, "day", Choice(day=DAY, symbol="005930"), KO, "simulation").to_dict()
    assert "삼성전자 005930" in stock["title"]["text"]
    other = draw(filled, "day", Choice(day=DAY, strategy="opening_range"), KO, "simulation")
    assert other.to_dict()["title"]["text"].endswith("opening_range 신호")
    drawn = other.to_json(ensure_ascii=False)
    assert "상단 밴드" in drawn
    assert "VWAP" not in drawn  # it has none
    smile = draw(filled, "smile", Choice(day=DAY, minute=time(9, 33)), KO, "simulation").to_dict()
    assert "09:30" in smile["title"]["text"]
    delta = draw(filled, "matrix", Choice(day=DAY, metric="delta"), KO, "simulation").to_json(
        ensure_ascii=False
    )
    assert "델타" in delta


def test_one_maturity_has_a_smile_and_no_term_structure(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = draw(filled, "smile", Choice(day=DAY), KO, "simulation").to_dict()
    assert len(both["hconcat"]) == 2
    assert both["title"]["text"].endswith("기간구조")
    front = queries.maturities(filled, DAY, "KOSPI200")[:1]
    monkeypatch.setattr(queries, "maturities", lambda *_: front)
    alone = draw(filled, "smile", Choice(day=DAY), KO, "simulation").to_dict()
    assert "hconcat" not in alone
    assert alone["title"]["text"].endswith("스마일")


def test_the_rule_of_a_smile_stands_at_the_nearest_maturitys_underlying() -> None:
    """Each maturity may have a future of its own; which one was drawn was a matter of chance."""
    chain = pl.DataFrame(
        {
            "underlying_symbol": ["202701_KOSPI200"] * 2 + ["202612_KOSPI200"] * 2,
            "option_type": ["C", "P"] * 2,
            "strike": [1065.0] * 4,
            "iv": [41.0] * 4,
            "underlying_price": [1071.8] * 2 + [1066.45] * 2,
        }
    )
    for _ in range(5):
        drawn = smile_chart(chain, KO).to_json()
        assert "1066.45" in drawn
        assert "1071.8" not in drawn


def test_what_there_is_not_is_said(filled: str) -> None:
    for what, choice, said in [
        ("day", Choice(day=DAY, symbol="005930; DROP"), "005930; DROP"),
        ("day", Choice(day=date(2026, 10, 5)), "no bars of A01612 on 2026-10-05"),
        ("day", Choice(day=DAY, strategy="momentum"), "no strategy 'momentum'"),
        ("smile", Choice(day=date(2026, 10, 5)), "no snapshots of KOSPI200"),
        ("smile", Choice(day=DAY, series="NIKKEI"), "NIKKEI"),
        ("smile", Choice(day=DAY, minute=time(8, 0)), "no option snapshot"),
        ("matrix", Choice(day=DAY, metric="nothing"), "has no nothing"),
        ("coverage", Choice(day=date(2025, 10, 1)), "no bars"),
        ("coverage", Choice(day=DAY, sessions=0), "at least 1"),
        ("surface", Choice(day=date(2026, 10, 5)), "no smile of KOSPI200"),
        ("exposure", Choice(day=DAY, minute=time(8, 0)), "no smile of KOSPI200"),
        ("term", Choice(day=DAY, series="NIKKEI"), "NIKKEI"),
        ("flow", Choice(day=date(2026, 10, 5)), "no snapshots of KOSPI200"),
        ("volatility", Choice(day=date(2025, 10, 1)), "no bars of A01"),
        ("volatility", Choice(day=DAY, sessions=0), "at least 1"),
    ]:
        with pytest.raises(InputError, match=said):
            draw(filled, what, choice, KO, "simulation")  # type: ignore[arg-type]


def test_the_command_draws_or_says_in_one_line_why_not(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", filled)
    monkeypatch.chdir(tmp_path)
    assert main(["plot", "coverage", "--date", str(DAY), "--out", "out/held.svg"]) == 0
    assert (tmp_path / "out" / "held.svg").stat().st_size > 10_000
    capsys.readouterr()
    for arguments in (["--out", "held.gif"], ["--out", "a.png", "--minute", "noon"]):
        assert main(["plot", "smile", "--date", str(DAY), *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("❌ ")
        assert said.count("\n") == 1

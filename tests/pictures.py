"""Make the pictures of the READMEs from a simulated day: `just pictures`.

Beside them `docs/pictures.json` keeps a hash of the code that drew each: a test compares it, so no
picture is older than what it shows. The page needs Chromium and chromedriver; where they are
missing its picture stays as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import os
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.market.symbols import parse_chain
from pipelines.commands.main import main as krt
from pipelines.databases import record_data_kind
from pipelines.day.view import LastLines, day_view
from pipelines.feed import Feed
from pipelines.texts import Texts
from tests.benchmarks.bench_env import bench_env
from tests.paths import ROOT
from tests.pipelines.day.playing import DAY, FUTURE, at_time, play
from tests.pipelines.reports.serving import serving
from tests.pipelines.simulated import Desk, desk

DOCS = ROOT / "docs"
HASHES = DOCS / "pictures.json"
_CHARTS = "pipelines/reports/charts"
_SHARED = (f"{_CHARTS}/style.py", "pipelines/texts/pictures.toml")
SOURCES = {  # what draws each picture
    "live.svg": (
        "pipelines/day/view.py",
        "pipelines/day/rows.py",
        "pipelines/texts/terminal.toml",
    ),
    "dashboard.png": (
        "pipelines/reports/dashboard/*.py",
        "pipelines/reports/dashboard/static/page.*",
        "pipelines/reports/dashboard/static/chart.js",
        "pipelines/texts/catalogue.toml",
    ),
    "day.png": (f"{_CHARTS}/day.py", *_SHARED),
    "matrix.png": (f"{_CHARTS}/matrix.py", *_SHARED),
    "smile.svg": (f"{_CHARTS}/smile.py", *_SHARED),
    "coverage.svg": (f"{_CHARTS}/coverage.py", *_SHARED),
}
FEED = Feed(("005930", "000660"), (FUTURE,), (parse_chain("front"),))
BEGIN, END = at_time("08:36"), at_time("13:20:30")
PHOTOGRAPHED = at_time("13:21:50")
WIDTH, HEIGHT = 1400, 1750  # of the page, pixels


def digest(name: str) -> str:
    """Return a hash of the code that draws a picture; the ends of lines do not matter."""
    files = sorted(file for pattern in SOURCES[name] for file in ROOT.glob(pattern))
    text = "".join(file.read_text("utf-8") for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def collect(url: str, folder: Path) -> tuple[str, list[str]]:
    """Play the day; return the terminal's view of it in the afternoon as SVG.

    The page is photographed a minute later, by then another collector goes on with the day; its
    name is returned, or nothing without a browser.
    """
    lines = LastLines()
    lines.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("pipelines")
    log.setLevel(logging.INFO)
    log.addHandler(lines)
    async with desk(url, folder, BEGIN) as at:
        played = await play(at, url, folder, until=END, feed=FEED)
        console = Console(record=True, width=120, quiet=False, stderr=True)
        console.print(day_view(played.stats, END, lines, Texts("en"), width=120))
        photographed: list[str] = []

        async def look(_: Desk) -> None:
            await at.clock.sleep_until(PHOTOGRAPHED)
            photographed.extend(await at.clock.thread(photograph, url, folder))

        evening = await play(at, url, folder, feed=FEED, trouble=look)
    if error := played.error or evening.error:
        raise error
    return console.export_svg(title="just live"), photographed


def draw(url: str) -> list[str]:
    """Draw what `just plot` draws; return the names of the pictures."""
    drawn = []
    for name in ("day.png", "matrix.png", "smile.svg", "coverage.svg"):
        what = name.partition(".")[0]
        if krt(["plot", what, "--out", str(DOCS / name), "--date", f"{DAY}"]) != 0:
            raise SystemExit(f"❌ {name} was not drawn")
        drawn.append(name)
    return drawn


def photograph(url: str, folder: Path) -> list[str]:
    """Take a picture of the page; return its name, or nothing where no browser is."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        return []
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options: Any = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument(f"--window-size={WIDTH},{HEIGHT}")
    with serving(url, folder, "--database", "simulation") as address:
        browser = webdriver.Chrome(options=options, service=Service(programs[1]))
        try:
            browser.get(address)
            for shown in (
                "document.querySelector('[data-krt=\"price\"]') !== null",
                "document.querySelectorAll('#chart canvas').length > 0",
                "document.fonts.status === 'loaded'",
            ):
                script = f"return {shown}"
                WebDriverWait(browser, 60).until(
                    lambda _, script=script: browser.execute_script(script)
                )
            browser.save_screenshot(str(DOCS / "dashboard.png"))
        finally:
            browser.quit()
    return ["dashboard.png"]


def make() -> list[str]:
    """Make every picture that can be made here; return their names."""
    with bench_env() as env, tempfile.TemporaryDirectory(prefix="krt-pictures-") as name:
        folder, url = Path(name), env.database()
        record_data_kind(url, "simulation")
        os.environ |= {"KRT_DATABASE_URL": url, "KRT_LANGUAGE": "en"}  # for the commands
        view, photographed = asyncio.run(collect(url, folder))
        (DOCS / "live.svg").write_text(view, "utf-8")
        return ["live.svg", *photographed, *draw(url)]


def main() -> None:
    """Make the pictures and note what drew them."""
    argparse.ArgumentParser(prog="just pictures", description=__doc__).parse_args()
    known = json.loads(HASHES.read_text("utf-8")) if HASHES.exists() else {}
    made = {name: digest(name) for name in make()}
    HASHES.write_text(json.dumps(known | made, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"✅ {', '.join(made)}, of the simulated {date.isoformat(DAY)}")  # noqa: T201
    if missing := sorted(set(SOURCES) - set(made)):
        raise SystemExit(f"❌ not made: {', '.join(missing)}")


if __name__ == "__main__":
    main()

"""`just doctor`: each thing that is amiss is named with its remedy, and no secret with it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from engine.clock import WallClock, today
from engine.errors import KisUnreachable
from engine.kis.stock_master import parse_stock_master
from engine.simulator.market.listed_stocks import stock_master_file
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store.spool import Spool
from pipelines import universes
from pipelines.commands.main import main
from pipelines.doctor import calendar_checks, kis_checks
from pipelines.doctor.examine import CHECKS, examine, situation_here
from pipelines.doctor.finding import Finding, Situation
from pipelines.simulation import SEED
from tests.databases import command
from tests.pipelines.day.test_no_disk import mount, use_up

KEY, SECRET, PASSWORD = "PSab12cd34ef56gh78ij90kl12mn34op56qr", "s" * 170 + "9+/Ab=Q", "p4ss-w0rd"
AWAY = f"postgresql://krt:{PASSWORD}@127.0.0.1:1/krt"


class OffClock(WallClock):
    """This machine's clock, which is off."""

    def __init__(self, off: timedelta) -> None:
        self._off = off

    def now(self) -> datetime:
        return super().now() + self._off


class Kis:
    """A KIS that takes one key."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("").rstrip("/")
        self.tokens = 0
        self.words = ""
        server.expect_request("/oauth2/tokenP").respond_with_handler(self._token)
        server.expect_request("/").respond_with_data("", status=404)
        path = "/uapi/domestic-stock/v1/quotations/inquire-time-itemchartprice"
        server.expect_request(path).respond_with_json({"rt_cd": "0", "output1": {}, "output2": []})

    def _token(self, request: Request) -> Response:
        self.tokens += 1
        if request.get_json(force=True)["appkey"] != KEY:
            said = {
                "error_code": "EGW00103",
                "error_description": f"유효하지 않은 AppKey {KEY[:-1]}",
            }
            return Response(json.dumps(said), status=403)
        ends = (datetime(2026, 1, 1) + timedelta(days=3650)).isoformat(sep=" ")
        return Response(json.dumps({"access_token": "t" * 40, "access_token_token_expired": ends}))


@pytest.fixture
def kis(httpserver: HTTPServer) -> Kis:
    return Kis(httpserver)


@pytest.fixture
def folder(tmp_path: Path, kis: Kis, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings that are all right."""
    for name in [name for name in os.environ if name.startswith("KRT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, kis)
    database = tmp_path / "db_config.json"
    database.write_text(json.dumps({"postgres_url": database_url}))
    database.chmod(0o600)
    return tmp_path


def write(folder: Path, kis: Kis, **settings: object) -> None:
    known = {
        "base_url": kis.url,
        "app_key": KEY,
        "app_secret": SECRET,
        "data_folder": str(folder / "data"),
    }
    wanted = {key: value for key, value in (known | settings).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(wanted))
    (folder / "config.json").chmod(0o600)


def findings(clock: WallClock | None = None, **chosen: object) -> dict[str, Finding]:
    checks = {name: check for name, check in CHECKS.items() if not chosen or chosen.get(name)}
    return {finding.check: finding for finding in examine(situation_here(clock), checks)}


def amiss(found: dict[str, Finding]) -> dict[str, str]:
    """Return what is not well, with everything that is said of it."""
    return {name: f"{f.says} → {f.remedy}" for name, f in found.items() if f.state != "well"}


def test_all_is_well(folder: Path, kis: Kis) -> None:
    found = findings()
    assert amiss(found) == {}
    assert set(found) == set(CHECKS) | {"clock", "data"}
    assert "newest schema" in found["database"].says
    assert found["token"].says == "KIS takes the key, and answers"
    assert not (folder / "data" / "simulation").exists()

    findings(token=True)
    assert kis.tokens == 1  # the one that is kept is used


@pytest.mark.parametrize(
    ("settings", "check", "says"),
    [
        ({"app_key": None, "app_secret": None}, "key", "there is no app_key"),
        ({"app_key": "…", "app_secret": "…"}, "key", "app_key and app_secret are placeholders"),
        ({"app_key": "YOUR_APP_KEY_HERE"}, "key", "app_key is a placeholder"),
        ({"app_key": "PSab12cd34ef56gh78ij90kl12mn34op56qX"}, "token", "check app_key"),
        ({"app_secret": None}, "configuration", "app_key and app_secret belong together"),
        ({"app_kye": "x"}, "configuration", "unknown key 'app_kye'"),
        ({"futures": ["nonsense"]}, "configuration", "nonsense"),
        ({"base_url": "http://127.0.0.1:1"}, "network", "the connection to KIS failed"),
    ],
)
def test_a_key_or_a_setting_is_wrong(
    folder: Path, kis: Kis, settings: dict[str, object], check: str, says: str
) -> None:
    write(folder, kis, **settings)
    found = findings(configuration=True, key=True, network=True, token=check == "token")
    assert says in amiss(found)[check]
    assert found[check].state == "amiss"
    assert found[check].remedy
    assert KEY[:-1] not in str(found)


def test_a_key_that_was_refused_a_moment_ago_is_asked_for_again_in_a_minute(
    folder: Path, kis: Kis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS gives one token a minute: who runs the doctor twice must not be sent to the network."""
    monkeypatch.setattr(kis_checks, "_SECONDS", 0.3)
    write(folder, kis, app_key=KEY[:-1] + "X")
    assert "check app_key" in amiss(findings(token=True))["token"]
    said = amiss(findings(token=True))["token"]
    assert "KIS gives one token a minute" in said
    assert said.endswith("→ run it again in a minute")
    assert kis.tokens == 1


@pytest.mark.parametrize("seconds", [60, -60, 7])
def test_the_clock_is_off(folder: Path, seconds: int) -> None:
    said = amiss(findings(OffClock(timedelta(seconds=seconds)), network=True))
    assert list(said) == ["clock"]
    side = "ahead of" if seconds > 0 else "behind"  # KIS dates its answers to the second
    near = (f"{abs(seconds) + n} s {side} KIS's" for n in (-1, 0, 1))
    assert any(words in said["clock"] for words in near)
    assert "timedatectl set-ntp true" in said["clock"]


@pytest.fixture(params=["full", "read-only"])
def disk(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """A disk that takes nothing."""
    folder = Path(tempfile.gettempdir()) / f"krt-doctor-{uuid.uuid4().hex[:8]}"
    mount(folder, "size=64k", "nr_inodes=8", "mode=755")
    if request.param == "full":
        use_up(folder)
    else:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield request.param, folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def test_the_disk_takes_nothing(folder: Path, kis: Kis, disk: tuple[str, Path]) -> None:
    kind, path = disk
    write(folder, kis, data_folder=str(path))
    said = amiss(findings(folders=True, disk=True, token=True, feed=True))
    assert "takes no file" in said["folders"]
    assert "name another data_folder" in said["folders"]
    assert "0.0 of 0.0 GB are free" in said["disk"]
    assert "inodes" not in said["disk"]  # which would be named if the room were not looked at
    assert "token" not in said  # KIS is asked all the same
    reason = {"full": "No space left", "read-only": "Read-only|may not write"}[kind]
    assert any(word in said["folders"] for word in reason.split("|"))


def test_the_database_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", AWAY)
    said = amiss(findings(database=True))
    assert "no connection to the database" in said["database"]
    assert "is the server running, and its address in db_config.json right?" in said["database"]
    assert PASSWORD not in said["database"]


def test_a_certificate_ends_soon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = WallClock().now()
    for days, state in ((6, "amiss"), (8, "well")):
        monkeypatch.setattr(
            kis_checks, "certificate_end", lambda _, d=days: now + timedelta(days=d)
        )
        assert findings(network=True)["network"].state == state


def test_a_certificate_is_not_valid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(_: Situation) -> None:
        raise KisUnreachable(
            "the certificate that kis shows is not valid: self-signed certificate; if a proxy or a"
            " virus scanner reads the traffic here, name its root certificate in SSL_CERT_FILE"
        )

    monkeypatch.setattr(kis_checks, "_ask", ask)
    said = amiss(findings(network=True))
    assert "name its root certificate in SSL_CERT_FILE" in said["network"]
    assert "see what it says about the certificate" in said["network"]


def test_the_database_is_of_another_version_or_cannot_be_written(
    folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(database_url, "INSERT INTO data_origin (kind) VALUES ('simulation')")
    said = amiss(findings(database=True))
    assert "the database holds simulation data, and there is a key" in said["data"]
    monkeypatch.setenv(
        "KRT_DATABASE_URL", f"{database_url}&options=-c%20default_transaction_read_only%3Don"
    )
    assert "read-only: nothing can be stored" in amiss(findings(database=True))["database"]
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    command(database_url, "DELETE FROM schema_migrations WHERE version > '20261127'")
    said = amiss(findings(database=True))
    assert "migrations behind → `just migrate`" in said["database"]
    command(database_url, "INSERT INTO schema_migrations (version) VALUES ('29990101000000')")
    said = amiss(findings(database=True))
    assert "newer than this program" in said["database"]
    assert "upgrade the program: `git pull`, `uv sync`" in said["database"]


def test_the_calendar_has_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for last, says in ((date(2026, 1, 1), "it ended on 2026-01-01"), (date(2100, 1, 1), "")):
        monkeypatch.setattr(calendar_checks, "rules", lambda last=last: {"last_day": last})
        said = amiss(findings(calendar=True))
        assert says in said.get("calendar", "")
        assert ("upgrade" in str(said)) == bool(says)


def test_files_that_others_may_read_and_batches_that_wait(folder: Path, kis: Kis) -> None:
    findings(token=True)
    (token,) = (folder / "data" / "live" / "kis").glob("*-token.json")
    token.chmod(0o644)
    (folder / "config.json").chmod(0o644)
    aside = folder / "data" / "live" / "spool" / "refused"
    Spool(aside.parent)
    aside.mkdir()
    (aside / "000000000001-futures_1m-00000000.arrow").touch()
    said = amiss(findings(configuration=True, folders=True, spool=True))
    assert said["configuration"].endswith("→ chmod 600 config.json")
    assert token.name in said["folders"]
    assert "1 refused" in said["spool"]


def test_nothing_holds_the_others_up(folder: Path) -> None:
    """A check that hangs, one that fails in a way nobody thought of, and one that is well."""
    over = threading.Event()

    def hang(_: Situation) -> Iterator[Finding]:
        over.wait()
        yield Finding("hangs", "well", "")

    def fail(_: Situation) -> Iterator[Finding]:
        raise ZeroDivisionError("of a kind")

    checks: dict[str, Callable[[Situation], Iterator[Finding]]] = {"hangs": hang, "fails": fail}
    found = examine(situation_here(), checks | {"disk": CHECKS["disk"]}, deadline=0.3)  # type: ignore[operator]
    over.set()
    assert [(f.check, f.state) for f in found][:2] == [("hangs", "unknown"), ("fails", "unknown")]
    assert found[1].says == "ZeroDivisionError: of a kind"
    assert found[2].check == "disk"


def test_everything_is_broken_at_once_and_no_secret_is_told(
    folder: Path, kis: Kis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KIS's words repeat half a key, the address of the database has a password."""
    write(folder, kis, app_key=KEY[:-1] + "X", alerts=["tgram://bottoken-abc/chat"])
    monkeypatch.setenv("KRT_DATABASE_URL", AWAY)
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    states = {check["check"]: check["state"] for check in report["checks"]}
    assert (states["token"], states["database"], report["exit_code"]) == ("amiss", "amiss", 1)

    (folder / "config.json").write_text('{"app_key": "' + KEY)
    for width in (80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["doctor"]) == 1
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= width
        assert "❌ configuration config.json cannot be read" in shown
        assert "→ correct it" in shown
        assert "database" in shown
        everything = json.dumps(report, ensure_ascii=False) + shown
        for secret in (KEY[:-1], SECRET, PASSWORD, "bottoken-abc"):
            assert secret not in everything


@pytest.mark.parametrize(
    ("settings", "state", "says"),
    [
        ({}, "well", "the settings name none"),
        ({"sweep": ["all"], "snapshot": ["ETF", "005930"]}, "well", "`snapshot` 91"),
        ({"follow": ["KOSPI200", "999999"]}, "amiss", "not listed, or no longer: 999999;"),
        ({"sweep": ["A01"]}, "amiss", "no stock: A01 in `sweep`"),
        ({"snapshot": ["삼성전자"]}, "amiss", "no stock: 삼성전자 in `snapshot`"),
    ],
)
def test_stocks_that_the_settings_name(
    folder: Path, kis: Kis, settings: dict[str, object], state: str, says: str
) -> None:
    write(folder, kis, app_key=None, app_secret=None, **settings)
    found = findings(stocks=True)["stocks"]
    assert found.state == state
    assert says in found.says
    assert found.remedy or state == "well"


def test_a_stock_that_is_halted_today_is_named(folder: Path, kis: Kis) -> None:
    listed = parse_stock_master(
        stock_master_file(SyntheticMarket(SEED), "KOSDAQ", today(WallClock())), "KOSDAQ"
    ).listings
    halted = listed.filter("halted")["symbol"][0]
    write(folder, kis, app_key=None, app_secret=None, sweep=["005930", halted])
    found = findings(stocks=True)["stocks"]
    assert found.state == "well"
    assert found.says.endswith(f"halted today, so nothing comes of them: {halted}")


def test_stocks_are_not_judged_without_a_master_file(
    folder: Path, kis: Kis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(universes, "_download", lambda *_: [KisUnreachable("away")] * 2)
    write(folder, kis, follow=["KOSPI200"])
    found = findings(stocks=True, pace=True)
    assert {check: finding.state for check, finding in found.items()} == dict.fromkeys(
        ("stocks", "pace"), "unknown"
    )
    assert "which stocks KOSPI lists is not known" in found["stocks"].says


def test_settings_that_do_not_fit_the_pace(folder: Path, kis: Kis) -> None:
    names: dict[str, object] = {"sweep": ["all"], "snapshot": ["all"]}
    write(folder, kis, app_key=None, app_secret=None, **names)
    fits = findings(pace=True)["pace"]
    assert fits.says.startswith("156 of 300 calls a minute; the sweep takes 36 minutes at most; ")
    write(folder, kis, app_key=None, app_secret=None, calls_per_second=2, **names)
    said = amiss(findings(pace=True))["pace"]
    assert "the snapshot does not fit into each minute: it comes every 2 minutes" in said
    assert "`just plan` shows what each part costs" in said

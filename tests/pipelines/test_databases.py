"""Real and simulated data never meet in one database."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date

import pytest

from engine.clock import WallClock
from engine.errors import InputError, StoreUnreachable
from engine.settings import DataKind, Settings, load_settings
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store import migrate
from engine.store.connection import Connection
from engine.store.spool import Spool
from pipelines.collector_lock import hold_collector_lock, refuse_second_collector
from pipelines.commands.main import main
from pipelines.databases import open_database, record_data_kind
from pipelines.day.live import Simulation, run
from pipelines.history.job import EVENING, HistoryJob
from pipelines.simulation import SEED, market_of_database
from tests.e2e.conftest import new_desk
from tests.engine.store.data import futures_bars
from tests.engine.store.outage import away
from tests.pipelines.random_bars import random_bars, with_kis_labels

DAY = date(2025, 9, 24)


@pytest.fixture
def at(database_url, monkeypatch, tmp_path):
    """A folder to run commands in, without a key, on a server of mine."""
    for name in ("KRT_APP_KEY", "KRT_APP_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("first", "other"), [("live", "simulation"), ("simulation", "live")])
def test_a_database_keeps_to_the_data_it_began_with(
    database_url: str, first: DataKind, other: DataKind
):
    record_data_kind(database_url, first)
    record_data_kind(database_url, first)
    with pytest.raises(InputError, match="your database holds"):
        record_data_kind(database_url, other)


def test_of_two_who_begin_at_once_the_first_says_what_the_data_are(database_url: str):
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with ThreadPoolExecutor(2) as pool, closing(Connection(database_url, "test")) as watcher:
        with closing(Connection(database_url, "first")) as first, first.transaction() as cursor:
            cursor.execute("INSERT INTO data_origin (kind) VALUES ('live')")
            same = pool.submit(record_data_kind, database_url, "live")
            other = pool.submit(record_data_kind, database_url, "simulation")
            while watcher.query(waiting).num_rows < 2:
                assert [same.done(), other.done()] == [False, False]
        same.result()
        with pytest.raises(InputError, match="holds real data"):
            other.result()


async def test_bars_from_before_the_kind_was_recorded_are_taken_for_real(database_url, store):
    connection = Connection(database_url, "test")
    await store.merge("futures_1m", futures_bars([1.0]))
    with connection.transaction() as cursor:
        cursor.execute("DROP TABLE data_origin")
        cursor.execute("DELETE FROM schema_migrations WHERE version = '20261125000002'")
    connection.close()
    migrate(database_url)
    with pytest.raises(InputError, match="holds real data"):
        record_data_kind(database_url, "simulation")


@pytest.mark.parametrize(
    "command", [("live", "--speed", "max"), ("backfill", "--days", "1"), ("validate", "--fix")]
)
def test_who_has_lost_the_key_does_not_simulate_into_real_data(database_url, at, capsys, command):
    record_data_kind(database_url, "live")
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("❌ your database holds real data")
    assert said.count("\n") == 1


def test_who_looks_is_told_by_the_database_what_it_holds(database_url, at):
    """At noon, without a key: today's session is not closed, as it would be in a simulation."""
    assert HistoryJob(None, None, (), collects=False).clock.now().time() == EVENING
    record_data_kind(database_url, "live")
    assert isinstance(HistoryJob(None, None, (), collects=False).clock, WallClock)
    assert isinstance(HistoryJob(None, "simulation", (), collects=False).clock, WallClock)
    assert not isinstance(HistoryJob(None, None, (), collects=True).clock, WallClock)


def test_who_looks_without_a_key_needs_no_kis(database_url, at, capsys):
    record_data_kind(database_url, "live")
    assert main(("backfill", "--dry-run", "--days", "1", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["calls"] >= 0
    assert not (at / "simulation").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [(("validate",), "nothing to validate"), (("backfill", "--dry-run"), "at 5 a second")],
)
def test_who_only_looks_leaves_the_spool_to_the_collector(at, capsys, command, says):
    spool = Spool(at / "simulation" / "spool")
    left = spool.add("futures_1m", futures_bars([2.0]))
    main(command)
    heard = capsys.readouterr()
    assert says in heard.out + heard.err
    assert spool.entries() == [left]


def test_a_fresh_start_forgets_what_waited_for_the_database_too():
    with new_desk() as desk:
        spool = Spool(desk.folder / "simulation" / "spool")
        spool.add("futures_1m", futures_bars([2.0]))
        settings = Settings(data_folder=desk.folder)
        with hold_collector_lock(desk.folder / "simulation" / "spool"):
            with (
                pytest.raises(InputError, match="another collector is running"),
                open_database("simulation", settings=settings, fresh=True),
            ):
                pass
            assert spool.entries(), "what a collector uses is not emptied"
        with open_database("simulation", settings=settings, fresh=True):
            assert spool.entries() == []


def test_a_second_collector_is_refused_before_anything_is_shown_of_its_day(at, monkeypatch):
    shown, settings = [], load_settings()
    monkeypatch.setattr("pipelines.day.live.show_day", lambda *_, **__: shown.append("a view"))
    spool = settings.folder("simulation") / "spool"
    with hold_collector_lock(spool), pytest.raises(InputError, match="another collector"):
        run(simulation=Simulation(date=date(2026, 11, 9)), settings=settings)
    assert shown == []
    refuse_second_collector(spool)
    with hold_collector_lock(spool), pytest.raises(InputError):  # it was left free
        refuse_second_collector(spool)


def seed_of(market):
    assert isinstance(market, SyntheticMarket)
    return market.seed


def test_a_simulation_goes_on_with_the_market_it_began_with(database_url):
    assert seed_of(market_of_database(database_url, SyntheticMarket(7))) == 7
    assert seed_of(market_of_database(database_url, None)) == 7
    with pytest.raises(InputError, match=r"of seed 7, and this one is of seed 20: .*--fresh"):
        market_of_database(database_url, SyntheticMarket(SEED))


def test_bars_of_a_file_are_not_corrected_by_a_made_up_market(database_url, tmp_path):
    file = tmp_path / "bars.parquet"
    with_kis_labels(random_bars("101W12", DAY, DAY, minutes=9)).write_parquet(file)
    recorded = RecordedMarket(file)
    assert market_of_database(database_url, recorded) is recorded
    assert market_of_database(database_url, recorded) is recorded
    for other in (None, SyntheticMarket(7)):
        with pytest.raises(InputError, match="--recorded"):
            market_of_database(database_url, other)


def test_the_commands_ask_for_it(database_url, at, capsys):
    market_of_database(database_url, SyntheticMarket(7))
    assert main(("live", "--speed", "max", "--json")) == 2
    assert "of seed 7" in capsys.readouterr().err
    file = at / "bars.parquet"
    with_kis_labels(random_bars("101W12", DAY, DAY, minutes=9)).write_parquet(file)
    assert main(("backfill", "--recorded", str(file))) == 2
    assert "of seed 7" in capsys.readouterr().err


def test_a_database_that_is_away_at_the_start_is_opened_all_the_same(database_url: str, at):
    """By who is patient; it is prepared later, and then refused if it holds other data."""
    record_data_kind(database_url, "live")
    settings = load_settings()
    with away(database_url):
        with pytest.raises(StoreUnreachable), open_database("simulation", settings=settings):
            pass
        with open_database("simulation", settings=settings, collects=True, patient=True) as opened:
            assert opened.prepare is not None
            with pytest.raises(StoreUnreachable):
                opened.prepare()
    with pytest.raises(InputError, match="holds real data"):
        opened.prepare()
    with open_database("live", settings=settings, collects=True, patient=True) as opened:
        assert opened.prepare is None


def test_a_database_that_does_not_exist_is_not_waited_for(
    database_url: str, at, capsys, monkeypatch
):
    name = database_url.rpartition("/")[2].partition("?")[0]
    monkeypatch.setenv("KRT_DATABASE_URL", database_url.replace(f"/{name}?", "/nowhere?"))
    assert main(("live", "--speed", "max", "--json")) == 2
    said = capsys.readouterr().err
    assert said.startswith("❌ ")
    assert 'database "nowhere" does not exist' in said
    assert said.count("\n") == 1

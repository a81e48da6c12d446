"""What is collected: names a user may give, and the contracts they mean on a date."""

from datetime import date

import pytest

from engine.errors import InputError
from engine.market.symbols import parse_chain
from pipelines.commands.main import main
from pipelines.day_plan import plan
from pipelines.feed import DataFeedBuilder, Feed


def test_the_builder_of_the_spec():
    feed = DataFeedBuilder().add_stock("005930").add_deriv("A01").add_option_chain().build()
    assert feed == Feed(("005930",), ("A01",), (parse_chain("front"),))


def test_the_front_month_is_the_contract_of_the_date():
    feed = DataFeedBuilder().add_deriv("A01").add_option_chain().build()
    before, after = plan(feed, date(2025, 9, 1)), plan(feed, date(2025, 9, 12))
    assert before.names == ["101W09", "202509_KOSPI200"]
    assert after.names == ["101W12", "202510_KOSPI200"]


def test_a_contract_on_its_last_day_ends_earlier():
    planned = plan(Feed(futures=("101W09",)), date(2025, 9, 11))
    assert len(planned.bars[0].session.stamps()) == 395


def test_what_has_no_session_is_told():
    planned = plan(Feed(stocks=("005930",), futures=("101W09",)), date(2025, 9, 15))
    assert (planned.names, planned.skipped) == (["005930"], ("101W09",))


def test_a_day_has_420_snapshots_and_411_bars():
    planned = plan(Feed(futures=("A01",), option_chains=(parse_chain("front"),)), date(2025, 9, 1))
    assert len(planned.bars[0].session.stamps()) == 411
    assert len(planned.chains[0].session.minute_grid()) == 420


@pytest.mark.parametrize("wrong", ["", "5930", "005930; DROP TABLE", "../../etc", "A01612"])
def test_what_is_no_stock_is_refused(wrong):
    with pytest.raises(InputError):
        DataFeedBuilder().add_stock(wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("samsung", "six characters (005930), nor one of KOSPI200"),
        ("삼성전자", "`just symbols 삼성전자` looks for it"),
        ("A01612", "six characters"),
        ("5930", "is 005930 meant?"),
    ],
)
@pytest.mark.parametrize("how", ["option", "setting"])
def test_what_is_no_stock_is_told_what_a_stock_is(
    wrong: str, said: str, how: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv("KRT_APP_KEY", "")
    if how == "setting":
        monkeypatch.setenv("KRT_STOCKS", wrong)
    assert main(["live", *(["--stock", wrong] if how == "option" else [])]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["005930", "Z99", "B01", "101W09'--", "$(reboot)"])
def test_what_is_no_future_is_refused(wrong):
    with pytest.raises(InputError):
        DataFeedBuilder().add_deriv(wrong)


@pytest.mark.parametrize("wrong", ["NIKKEI", "KOSPI200:soon", "KOSPI200:", "a:b:c"])
def test_what_is_no_chain_is_refused(wrong):
    with pytest.raises(InputError):
        parse_chain(wrong)


def test_nothing_to_collect_is_refused():
    with pytest.raises(InputError):
        DataFeedBuilder().build()


def test_what_is_told_once_is_counted_beside_the_names():
    feed = DataFeedBuilder().add_deriv("A01").collect("state").collect("flows:KOSPI").build()
    planned = plan(feed, date(2025, 9, 1))
    assert planned.names == ["101W09"]
    assert planned.kept == ["101W09", "STATE_101W09", "FLOWS_KOSPI"]
    with pytest.raises(InputError, match="choose from state, flows, programme, index"):
        DataFeedBuilder().collect("halts")
    alone = Feed(stocks=("005930",), streams=("state:A01612",))
    with pytest.raises(InputError, match="comes with bars: collect A01612 as well"):
        plan(alone, date(2026, 11, 18))

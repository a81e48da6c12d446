"""`just sql` answers whatever people ask, or says in one line how to ask it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest

from pipelines.commands.main import main
from tests.databases import command

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(server_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    monkeypatch.setenv("KRT_DATABASE_URL", server_url)
    monkeypatch.setattr(
        "pipelines.databases.migrate", lambda _, keep: None
    )  # it is: that saves seconds

    def answer(query: str, how: str = "table") -> tuple[int, str, str]:
        code = main(["sql", query, "--format", how])
        return code, *capfd.readouterr()

    return answer


def test_what_sql_cannot_see_is_said(
    database_url: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    counted = "SELECT count(*) FROM stocks_1m"
    assert ask(counted, "csv") == (0, "count\n0\n", "")
    command(
        database_url,
        "INSERT INTO archived_months VALUES ('stocks_1m', '2026-09-01', 1, 1, '', '2026-09-01',"
        " '2026-09-30', '/x', '2026-11-01')",
    )
    code, out, err = ask(counted, "csv")
    assert (code, out) == (0, "count\n0\n")
    assert "stocks_1m from 2026-09 to 2026-09 is in files" in " ".join(err.split())
    assert ask("SELECT count(*) FROM gaps", "csv")[2] == ""


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT 1 AS a, 2 AS a", [{"a": 1, "a_2": 2}]),
        ("SELECT 1 AS a, 2 AS a_2, 3 AS a, 4 AS a", [{"a": 1, "a_2": 2, "a_3": 3, "a_4": 4}]),
        ("SELECT count(*), count(*) FROM gaps", [{"count": 0, "count_2": 0}]),
        ("SELECT 1 AS a WHERE false", []),
        ("SELECT", []),
        ("SELECT NULL AS n, NULL::float AS f", [{"n": None, "f": None}]),
        ("SELECT '{\"b\": [1]}'::jsonb AS j", [{"j": '{"b": [1]}'}]),
        ("SELECT '\\x00ff'::bytea AS b", [{"b": "\\x00ff"}]),
        ("SELECT interval '2 days 1 second' AS i", [{"i": "2d 1s"}]),
        (
            "SELECT '0188d5b2-0000-7000-8000-000000000000'::uuid AS u",
            [{"u": "0188d5b2-0000-7000-8000-000000000000"}],
        ),
        ("SELECT '[/x] [bold]y[/bold]' AS m", [{"m": "[/x] [bold]y[/bold]"}]),
        ("SELECT 1 AS n, pg_sleep(0) AS v", [{"n": 1, "v": None}]),
        ("SELECT 1 AS a -- end", [{"a": 1}]),
        ("SELECT 1 AS a; -- end", [{"a": 1}]),
        ("SELECT 1 AS a;;  \n; /* end */ ; -- end", [{"a": 1}]),
        ("SELECT 1 AS a /* ; -- */ -- ;", [{"a": 1}]),
        ("SELECT '-- ; /*' AS a;", [{"a": "-- ; /*"}]),
        ("EXPLAIN SELECT 1", [{"QUERY PLAN": "Result  (cost=0.00..0.01 rows=1 width=4)"}]),
    ],
)
def test_every_format_shows_the_answer(ask: Ask, query: str, wanted: list[dict[str, object]]):
    code, out, err = ask(query, "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == wanted
    code, out, _ = ask(query, "csv")
    cells = [{n: "" if v is None else str(v) for n, v in row.items()} for row in wanted]
    assert (code, list(csv.DictReader(io.StringIO(out)))) == (0, cells)
    code, out, _ = ask(query, "table")
    assert code == 0
    assert all(cell in out for row in cells for pair in row.items() for cell in pair)


@pytest.mark.parametrize(
    ("array", "members", "cell"),
    [
        ("ARRAY[1, 2]", [1, 2], "[1,2]"),
        ("ARRAY['x', NULL]", ["x", None], '["x",null]'),
        ("ARRAY[1.5::numeric]", [1.5], "[1.5]"),
        ("ARRAY['{}'::jsonb]", ["{}"], '["{}"]'),
        ("'{}'::bigint[]", [], "[]"),
        ("ARRAY[date '2026-01-02']", ["2026-01-02"], '["2026-01-02"]'),
        ("NULL::int[]", None, ""),
    ],
)
def test_lists_are_lists_in_json_and_their_text_elsewhere(
    ask: Ask, array: str, members: list[object] | None, cell: str
) -> None:
    query = f"SELECT 1 AS n, {array} AS a UNION ALL SELECT 2, NULL"
    assert json.loads(ask(query, "json")[1]) == [{"n": 1, "a": members}, {"n": 2, "a": None}]
    assert list(csv.reader(io.StringIO(ask(query, "csv")[1])))[1:] == [["1", cell], ["2", ""]]
    assert cell in ask(query)[1]


def test_a_huge_text_is_whole_where_a_program_reads_it(ask: Ask) -> None:
    query = "SELECT repeat('x', 1000000) AS t"
    assert len(json.loads(ask(query, "json")[1])[0]["t"]) == 1_000_000
    code, out, _ = ask(query)
    assert (code, "x" * 1_000_000 in out) == (0, True)


def test_a_text_cannot_command_the_terminal(ask: Ask) -> None:
    code, out, _ = ask("SELECT E'\\x1b[31mred\\x07' AS a, 1 AS U&\"\\001b[2J\"")
    assert (code, "\x1b" in out, "\x07" in out) == (0, False, False)
    assert "\\x1b[31mred\\x07" in out


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT '10.0.0.1'::inet AS a", "column a has a type (inet)"),
        ("SELECT ARRAY[int4range(1, 2)] AS a", "cast it to text"),
        ("SELECT timestamp 'infinity' AS a", "outside the years 1 to 9999"),
        ("SELECT date '-infinity' AS a", "outside the years 1 to 9999"),
        ("SELECT timestamptz 'infinity' AS a", "outside the years 1 to 9999"),
        ("SELECT ARRAY[interval '1 day'] AS a", "cast it to text[]"),
        ("SELECT gaps FROM gaps", "whole row"),
        ("SELECT row(1, 2) AS a", "cast it to text"),
        ("SELECT ARRAY[row(1, 2)] AS a", "cast it to text"),
        (" ; -- nothing", "no SQL"),
        ("/* nothing */", "no SQL"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("DELETE FROM gaps", "read-only"),
        ("INSERT INTO gaps (symbol) VALUES ('x')", "read-only"),
        ("DROP TABLE gaps", "read-only"),
        ("COPY gaps FROM STDIN", "read-only"),
        ("COPY gaps TO STDOUT", "COPY is refused: queries are read-only"),
        ("SELECT $1", "no parameter"),
        ("SELEC 1", "SELEC is refused"),
        ("SELECT FROM FROM", "syntax error"),
        ("1", "syntax error"),
        ("   ", "no SQL"),
    ],
)
def test_what_cannot_be_answered_is_one_line(ask: Ask, query: str, says: str) -> None:
    code, out, err = ask(query)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("❌ ")
    assert says in err
    assert "is away" not in err or "COPY" in query


def test_the_tables_and_views_are_listed_with_what_they_hold(
    ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", "--tables", "--format", "json"]) == 0
    listed = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert listed["gaps"]["kind"] == "table"
    assert listed["corrections"]["kind"] == "view"
    assert listed["futures_1m"]["holds"].startswith("1-minute bars")
    assert not any(name.startswith("futures_A") for name in listed)  # partitions
    assert [name for name, row in listed.items() if not row["holds"]] == []


def test_a_table_is_described_by_the_comments_of_its_columns(
    ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", "--describe", "futures_1m", "--format", "json"]) == 0
    columns = {row["column_name"]: row for row in json.loads(capfd.readouterr().out)}
    assert columns["symbol"]["key"] == columns["timestamp"]["key"] == "key"
    assert columns["close"]["type"] == "double precision"
    assert all(row["holds"] for row in columns.values())


def test_a_table_that_is_not_there_is_answered_with_those_that_are(
    ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", "--describe", "bars' OR true"]) == 2
    err = capfd.readouterr().err
    assert "futures_1m" in err
    assert err.count("\n") == 1
    code, _, err = ask("SELECT * FROM bars")
    assert code == 2
    assert "just sql --tables" in err


@pytest.mark.parametrize(
    "arguments", [[], ["SELECT 1", "--tables"], ["--tables", "--describe", "gaps"]]
)
def test_a_query_a_list_or_a_description_is_asked_for(
    ask: Ask, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", *arguments]) == 2
    assert "--describe TABLE" in capfd.readouterr().err

"""Addresses of databases: which are valid, and that errors never quote a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.settings import check_address, load_settings, passwords
from engine.store import migrate


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:pass@host:5432/db",
        "postgres://host/db",
        "postgresql:///db",
        "postgresql://postgres@:5432/krt?host=%2Ftmp%2Frun&sslmode=disable",
        "postgresql://postgres@:5432/krt?host=/var/run/postgresql",
        "postgresql://postgres.abc:p%40ss%2F@aws-0.pooler.supabase.com:6543/postgres?sslmode=require",
        "postgresql://u:p:w,x!$&'()*+;=~@[::1]:5432,other:5433/db?target_session_attrs=any",
        "postgresql://호스트/db",
    ],
)
def test_an_address_is_taken_as_it_is(url: str) -> None:
    assert check_address(url) == url


@pytest.mark.parametrize("settled_in", ["environment", "file", "nowhere"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hidden%zz@127.0.0.1:9/db",
        "postgresql://u:hidden/x@127.0.0.1:9/db",
        "postgresql://u:1234/hidden@127.0.0.1:9/db",
        "postgresql://u:hidden#x@127.0.0.1:9/db",
        "postgresql://u:hidden?x@127.0.0.1:9/db",
        "postgresql://u:hidden@x@127.0.0.1:9/db",
        "postgresql://u:hidden x@127.0.0.1:9/db",
        "postgresql://u:hidden\n@127.0.0.1:9/db",
        "postgresql://u:hidden@[::1/db",
        "postgresql://u:hidden@127.0.0.1:port/db",
        "postgresql+psycopg://u:hidden@127.0.0.1:9/db",
        "postgresql:/u:hidden@127.0.0.1:9/db",
        "host=127.0.0.1 password=hidden",
        "postgresql://u:1234%00hidden@127.0.0.1:9/db",
        "postgresql://u@127.0.0.1:9/db?password=1234&hidden",
        "hidden",
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(
    url: str, settled_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KRT_DATABASE_URL", raising=False)
    if settled_in == "environment":
        monkeypatch.setenv("KRT_DATABASE_URL", url)
    if settled_in == "file":
        (tmp_path / "db_config.json").write_text(json.dumps({"postgres_url": url}))
    with pytest.raises(InputError, match="%40") as refusal:
        migrate(url) if settled_in == "nowhere" else load_settings(tmp_path)
    assert "hidden" not in str(refusal.value)
    assert "1234" not in str(refusal.value)


def test_the_passwords_of_an_address_are_known_as_written_and_as_meant() -> None:
    assert set(passwords("postgresql://u:p%40ss@h/db?sslpassword=other")) == {
        "p%40ss",
        "p@ss",
        "other",
    }
    assert passwords("postgresql://u@h/db") == []

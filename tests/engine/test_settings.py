"""Configuration files in the documented format; an error in one is one line without a secret."""

import json

import pytest

from engine.errors import InputError
from engine.settings import load_settings

CONFIG = {
    "base_url": "https://openapi.example.com",
    "account_no": "12345678",
    "account_no_sub": "01",
    "polling_interval": 2,
    "tr_id": {"stock_minute": "FHKST03010200", "deriv_minute": "FHKIF03020200"},
    "app_key": "a-key",
    "app_secret": "a-very-secret-secret",
}
DATABASE_FILE = {
    "postgres_url": "postgresql://user:pass@host:5432/db",
    "pool_settings": {"min_size": 1, "max_size": 10, "server_settings": {"jit": "off"}},
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("KRT_APP_KEY", "KRT_APP_SECRET", "KRT_DATABASE_URL", "KRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def write(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def test_nothing_configured_is_a_simulation_on_the_embedded_server(tmp_path):
    settings = load_settings(tmp_path)
    assert not settings.has_credentials
    assert settings.database.url is None


def test_both_files_are_read(tmp_path):
    write(tmp_path, "config.json", CONFIG)
    write(tmp_path, "db_config.json", DATABASE_FILE)
    settings = load_settings(tmp_path)
    assert settings.kis.base_url == "https://openapi.example.com"
    assert settings.kis.app_keys[0].app_secret.get_secret_value() == "a-very-secret-secret"
    assert settings.kis.polling_interval == 2
    assert settings.database.url == DATABASE_FILE["postgres_url"]


def test_the_environment_wins(tmp_path, monkeypatch):
    write(tmp_path, "config.json", CONFIG)
    monkeypatch.setenv("KRT_APP_KEY", "from-the-environment")
    monkeypatch.setenv("KRT_DATABASE_URL", "postgresql://elsewhere/db")
    settings = load_settings(tmp_path)
    assert settings.kis.app_keys[0].app_key.get_secret_value() == "from-the-environment"
    assert settings.database.url == "postgresql://elsewhere/db"


def test_several_app_keys_share_the_work(tmp_path):
    more = {"app_key": "another", "app_secret": "secret"}
    write(tmp_path, "config.json", CONFIG | {"app_keys": [more]})
    assert len(load_settings(tmp_path).kis.app_keys) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CONFIG | {"app_scret": "a-very-secret-secret"}, "unknown key 'app_scret'"),
        (CONFIG | {"polling_interval": "soon"}, "polling_interval"),
        (CONFIG | {"calls_per_second": -1}, "calls_per_second"),
        (CONFIG | {"calls_per_second": 101}, "calls_per_second"),
        (CONFIG | {"base_url": "openapi.example.com"}, "config.json: base_url"),
        (CONFIG | {"app_keys": [{"app_key": "x"}]}, "config.json: app_keys.0.app_secret"),
        (CONFIG | {"database": DATABASE_FILE}, "config.json: unknown key 'database'"),
        ("{not json", "cannot be read"),
        ("[]", "one JSON object"),
    ],
)
def test_what_is_wrong_is_one_line_without_the_secret(tmp_path, content, says):
    write(tmp_path, "config.json", content)
    with pytest.raises(InputError) as refused:
        load_settings(tmp_path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "a-very-secret-secret" not in str(refused.value)


def test_settings_printed_show_no_secret(tmp_path):
    write(tmp_path, "config.json", CONFIG)
    write(tmp_path, "db_config.json", DATABASE_FILE)
    shown = f"{load_settings(tmp_path)!r} {load_settings(tmp_path).kis!r}"
    assert "a-very-secret-secret" not in shown
    assert "user:pass" not in shown


def test_lists_of_the_environment_are_codes_with_commas_or_json(tmp_path, monkeypatch):
    monkeypatch.setenv("KRT_STOCKS", "005930, 000660")
    monkeypatch.setenv("KRT_FUTURES", '["A01", "A05"]')
    monkeypatch.setenv("KRT_ALERTS", "mailto://a:b@host?to=c,d,json://host/x")
    settings = load_settings(tmp_path)
    assert settings.stocks == ("005930", "000660")
    assert settings.futures == ("A01", "A05")
    alerts = [address.get_secret_value() for address in settings.alerts]
    assert alerts == ["mailto://a:b@host?to=c,d", "json://host/x"]


@pytest.mark.parametrize("name", ["KRT_TR_ID", "KRT_APP_KEYS"])
def test_an_environment_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "{no json")
    with pytest.raises(InputError, match="the environment"):
        load_settings(tmp_path)


def test_half_a_pair_of_keys_is_refused(tmp_path):
    write(tmp_path, "config.json", {"app_key": "a-key"})
    with pytest.raises(InputError, match="belong together"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"postgres_uri": "postgresql://user:pass@host/db"}, "unknown key 'postgres_uri'"),
        ({"postgres_url": 5432}, "db_config.json: postgres_url"),
        ({"pool_settings": {"min_size": "some"}}, "db_config.json: pool_settings.min_size"),
        ("[]", "db_config.json must hold one JSON object"),
        ("", "db_config.json cannot be read"),
    ],
)
def test_an_error_in_the_file_of_the_database_names_it(tmp_path, content, says):
    write(tmp_path, "db_config.json", content)
    with pytest.raises(InputError) as refused:
        load_settings(tmp_path)
    assert says in str(refused.value)
    assert "user:pass" not in str(refused.value)


def test_an_error_in_the_environment_names_the_variable_and_not_the_file(tmp_path, monkeypatch):
    write(tmp_path, "config.json", CONFIG | {"log_level": "DEBUG"})
    monkeypatch.setenv("KRT_LOG_LEVEL", "chatty")
    with pytest.raises(InputError, match="the environment: KRT_LOG_LEVEL") as refused:
        load_settings(tmp_path)
    assert "chatty" not in str(refused.value)


def test_an_address_without_its_last_slash_is_what_the_client_gets(tmp_path):
    write(tmp_path, "config.json", CONFIG | {"base_url": "https://openapi.example.com/"})
    assert load_settings(tmp_path).kis.base_url == "https://openapi.example.com"


@pytest.mark.parametrize("given", ["info", "Info", " INFO ", "INFO"])
def test_the_level_of_the_log_is_taken_in_small_letters_too(tmp_path, given):
    (tmp_path / "config.json").write_text(json.dumps({"log_level": given}))
    assert load_settings(tmp_path).log_level == "INFO"


@pytest.mark.parametrize("given", ["loud", "", 1, None])
def test_another_level_is_refused_in_a_line(tmp_path, given):
    (tmp_path / "config.json").write_text(json.dumps({"log_level": given}))
    with pytest.raises(InputError, match="log_level"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "http://openapi.example.com:9443",
        "HTTP://192.168.0.5",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://localhost:80@example.com/",
    ],
)
def test_keys_do_not_leave_this_machine_unencrypted(tmp_path, url):
    """Plain http to another host sent the keys without a word."""
    write(tmp_path, "config.json", {**CONFIG, "base_url": url})
    with pytest.raises(InputError) as refused:
        load_settings(tmp_path)
    assert "config.json: base_url: " in str(refused.value)
    assert "a-very-secret-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9443", "http://localhost:1/", "http://[::1]:1", "https://example.com"]
)
def test_this_machine_and_https_are_taken(tmp_path, url):
    write(tmp_path, "config.json", {**CONFIG, "base_url": url})
    assert load_settings(tmp_path).kis.base_url == url.rstrip("/")

"""What the user configures: `config.json`, `db_config.json` and the environment, in one model.

Each key of `config.json` may also come from the environment, as `KRT_` and the key's name in
capitals (`KRT_APP_KEY`), and the address of the database as `KRT_DATABASE_URL`: the environment
wins. Secrets are `SecretStr`: printing settings shows none, and no error quotes a value.
"""

from __future__ import annotations

import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from engine.errors import InputError

CONFIG_FILE = "config.json"
DATABASE_FILE = "db_config.json"
SYSTEM_FOLDER = Path("/var/lib/korea-realtime-trading")  # used by root; not below a home
KIS_REAL = "https://openapi.koreainvestment.com:9443"
KIS_MASTER = (
    "https://new.real.download.dws.co.kr/common/master/fo_idx_code_mts.mst.zip"  # KIS's own host
)

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

DataKind = Literal["live", "simulation"]


class _Part(BaseModel):
    """A part of the settings: frozen, without unknown keys, silent about values in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AppKey(_Part):
    """One app key of KIS with its secret. Each has a budget of calls of its own."""

    app_key: SecretStr
    app_secret: SecretStr


def _kis_address(url: str) -> str:
    """Return KIS's address without a slash at its end. The keys travel to it: not in plain text."""
    parts = urlsplit(url)
    if parts.scheme.lower() == "http" and parts.hostname not in _THIS_MACHINE:
        raise ValueError("http sends the keys unencrypted: write https (http is for 127.0.0.1)")
    return url.rstrip("/")


class _KisKeys(_Part):
    """The keys of `config.json` that the KIS client needs."""

    base_url: Annotated[str, AfterValidator(_kis_address)] = Field(
        default=KIS_REAL, pattern=r"^https?://\S+$"
    )
    app_keys: tuple[AppKey, ...] = ()
    polling_interval: float = Field(
        default=2.0, ge=0, le=50, description="seconds after the minute"
    )
    calls_per_second: float = Field(
        default=5.0, gt=0, le=100, description="ceiling for each app key"
    )
    request_timeout: float = Field(default=5.0, gt=0, le=60, description="seconds")
    stream: bool = False  # whether KIS's WebSocket is used beside the polling
    stream_halts: bool = True  # whether it tells halts, too, where it is used
    tr_id: dict[str, str] = Field(default_factory=dict)


class KisSettings(_KisKeys):
    """How to talk to KIS; `app_keys` are all there are."""

    master_url: str = KIS_MASTER


class _UnusedKeys(_Part):
    """Keys of the old files that change nothing; they are read so that old files stay good."""

    account_no: str = ""
    account_no_sub: str = ""


class _UnusedPool(_Part):
    """`pool_settings` of the old files: a writer keeps one connection and sets it up itself."""

    min_size: int = 1
    max_size: int = 10
    server_settings: dict[str, str] = Field(default_factory=dict)


def default_folder() -> Path:
    """Return where our data lives: the user's data folder; under root a folder of the system's.

    The embedded server does not run as root, and the account that it runs under must be able to
    reach its folder: below /root it could not, and /root must not be opened to everybody.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return SYSTEM_FOLDER
    return platformdirs.user_data_path(SYSTEM_FOLDER.name, appauthor=False)


def check_address(url: str) -> str:
    """Return the address of a database. Raises InputError, without the URL, if it is not one.

    libpq and dbmate quote what they cannot read, and in a broken address (a password with a `%`,
    `/` or space in it) that is the password. So only well-formed addresses reach them.
    """
    if not _ADDRESS.fullmatch(url):
        raise InputError(_NO_ADDRESS)
    return url


_ESCAPED = r"%(?!00)[0-9a-fA-F]{2}"
_TEXT = rf"(?:[^\s%@/?#\[\]:,\x00-\x1f]|{_ESCAPED})"
_PARAMETER = rf"[^\s%#@&=]+=(?:[^\s%#@&=]|{_ESCAPED})*"
_HOST = rf"(?:\[[0-9a-fA-F:.]+\]|{_TEXT}+)?(?::[0-9]{{1,5}})?"
_ADDRESS = re.compile(
    rf"postgres(?:ql)?://(?:{_TEXT}*(?::(?:{_TEXT}|[:,])*)?@)?{_HOST}(?:,{_HOST})*"
    rf"(?:/{_TEXT}*)?(?:\?{_PARAMETER}(?:&{_PARAMETER})*)?"
)
_NO_ADDRESS = (
    "the address of the database is not valid: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
    " and signs such as @ / # % ? & and spaces in a password as %40 %2F %23 %25 %3F %26 %20"
)


def passwords(url: str) -> list[str]:
    """Return the passwords in an address, as they are written and as they are meant."""
    parts = urlsplit(url)
    queried = [value for name, value in parse_qsl(parts.query) if "password" in name]
    written = parts.password or ""
    return [text for text in {written, unquote(written), *queried} if text]


class DatabaseSettings(_Part):
    """`db_config.json`: your own server. Without an address the embedded one is used."""

    postgres_url: SecretStr | None = None
    pool_settings: _UnusedPool = _UnusedPool()

    @property
    def url(self) -> str | None:
        """The address of your server; None if the embedded one is meant."""
        return self.postgres_url.get_secret_value() if self.postgres_url else None


def _split_list(given: object) -> object:
    """Read a list of the environment: KRT_STOCKS=005930,000660, or as JSON."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        return json.loads(given)
    # An address may have commas of its own; the next one begins with its scheme.
    parts = re.split(r"[,\s]+(?=\w+://)" if "://" in given else ",", given)
    return [part.strip() for part in parts if part.strip()]


Codes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list)]
Addresses = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_list)]


def _in_capitals(given: object) -> object:
    return given.strip().upper() if isinstance(given, str) else given


class Settings(_UnusedKeys, _KisKeys, BaseSettings):
    """`config.json` and `db_config.json`; the `kis` part is for KisClient.

    The keys of `config.json` are flat; `app_key` and `app_secret` are the first pair of keys, and
    `app_keys` are more of them.
    """

    model_config = SettingsConfigDict(
        env_prefix="KRT_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    app_key: SecretStr = SecretStr("")
    app_secret: SecretStr = SecretStr("")
    stocks: Codes = Field(default=(), description="followed: codes and universes (KOSPI200, all)")
    follow: Codes = Field(default=(), description="the same; both lists together are followed")
    sweep: Codes = Field(default=(), description="stocks whose bars come after the close")
    snapshot: Codes = Field(default=(), description="stocks quoted 30 a call, once a minute")
    keep_snapshot_days: int = Field(
        default=30, ge=1, le=36_500, description="older snapshots are dropped"
    )
    futures: Codes = ("A01",)
    option_chains: Codes = ("front",)
    keep_trades_days: int = Field(
        default=30, ge=1, le=36_500, description="older trades leave the database for files"
    )
    archive: int | None = Field(
        default=None,
        ge=1,
        le=1200,
        description="months of stock bars that stay in the database; older ones leave for files",
    )
    night: bool = Field(default=False, description="whether nights are collected as well as days")
    collect: Codes = Field(default=(), description="what KIS tells only once")
    venues: Codes = Field(default=("J",), min_length=1, description="where stocks are collected")
    alerts: Addresses = Field(default=(), description="apprise addresses")
    data_folder: Path = Field(
        default_factory=default_folder,
        description="token, spool, logs and the embedded database",
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_in_capitals)
    ] = "INFO"
    language: Literal["ko", "en"] | None = Field(
        default=None, description="of what people read; the system's if none is set"
    )
    morning_message: bool = Field(default=False, description="whether an alert precedes each day")
    evening_message: bool = Field(default=False, description="whether an alert follows each day")
    log_days: int = Field(
        default=90, ge=1, le=3650, description="days after which a log file is removed"
    )
    export_folder: Path | None = Field(
        default=None, description="where a collector of every day keeps the Parquet copy"
    )
    # The alias is what neither config.json nor the environment can name: it has a file of its own.
    database: DatabaseSettings = Field(default=DatabaseSettings(), validation_alias=DATABASE_FILE)

    @cached_property
    def kis(self) -> KisSettings:
        """What the KIS client needs, with all pairs of keys."""
        keys = {name: getattr(self, name) for name in _KisKeys.model_fields}
        if self.app_key.get_secret_value():
            first = AppKey(app_key=self.app_key, app_secret=self.app_secret)
            keys["app_keys"] = (first, *self.app_keys)
        return KisSettings(**keys)

    @property
    def has_credentials(self) -> bool:
        """Whether there is an app key to talk to KIS with."""
        return bool(self.kis.app_keys)

    def folder(self, kind: DataKind) -> Path:
        """Return where everything that belongs to real or to simulated data is kept."""
        return self.data_folder.expanduser() / kind

    def secrets(self) -> list[str]:
        """Return every secret that must never be seen in a log."""
        keys = [secret for pair in self.kis.app_keys for secret in (pair.app_key, pair.app_secret)]
        held = [secret.get_secret_value() for secret in (*keys, *self.alerts)]
        return [*held, *passwords(self.database.url or "")]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the strongest first; files only in `load_settings`."""
        return init_settings, env_settings


class _JsonFile(JsonConfigSettingsSource):
    """A settings file that may be missing, but not unreadable."""

    def _read_files(self, files: Any, deep_merge: bool = False) -> dict[str, Any]:  # noqa: ARG002
        path = Path(files)
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path.name} cannot be read: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path.name} must hold one JSON object")
        return content


class _DatabaseFile(_JsonFile):
    """`db_config.json` and KRT_DATABASE_URL, which wins."""

    def __call__(self) -> dict[str, Any]:
        url = os.environ.get("KRT_DATABASE_URL")
        return {DATABASE_FILE: self.json_data | ({"postgres_url": url} if url else {})}


def load_settings(folder: Path | None = None) -> Settings:
    """Read `config.json`, `db_config.json` (in `folder`, else here) and the environment.

    Raises InputError in one line that names the file and the key, never a value.
    """
    here = folder or Path(os.environ.get("KRT_CONFIG_FOLDER", "."))

    class WithFiles(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **sources: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                *super().settings_customise_sources(settings_cls, *args, **sources),
                _DatabaseFile(settings_cls, here / DATABASE_FILE),
                _JsonFile(settings_cls, here / CONFIG_FILE),
            )

    try:
        settings = WithFiles()
    except ValidationError as error:
        raise InputError("; ".join(map(_line, error.errors(include_input=False)))) from None
    except SettingsError as error:
        raise InputError(f"the environment (KRT_…): {error}; it takes JSON") from None
    if bool(settings.app_key.get_secret_value()) != bool(settings.app_secret.get_secret_value()):
        raise InputError("app_key and app_secret belong together: one of them is missing")
    if settings.database.url is not None:
        check_address(settings.database.url)
    return settings


def _line(error: Any) -> str:
    """Return what is wrong with a key, and where it comes from."""
    first, *rest = map(str, error["loc"])
    variable = f"KRT_{first}".upper()
    if first == DATABASE_FILE:
        place, key = DATABASE_FILE, ".".join(rest)
    elif variable in os.environ:
        place, key = "the environment", ".".join([variable, *rest])
    else:
        place, key = CONFIG_FILE, ".".join([first, *rest])
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key {key!r}"
    message: str = error["msg"].removeprefix("Value error, ")
    return f"{place}: {key}: {message[:1].lower()}{message[1:]}"

"""What the user configures: `config.json`, `db_config.json` and the environment, typed.

The files have the spec's format; each key may also come from the environment as `KRT_` and the
key's name in capitals (`KRT_APP_KEY`), which wins. Secrets belong there rather than in a file.
"""

from __future__ import annotations

import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from engine.addresses import checked_address, passwords
from engine.errors import InputError
from engine.settings import KIS_REAL, AppKey, KisSettings

CONFIG_FILE = "config.json"
DATABASE_FILE = "db_config.json"


def _default_folder() -> Path:
    """Return where our data lives: the user's data folder; under root a folder of the system's.

    The embedded server does not run as root, and whoever it runs as must be able to reach its
    folder: below /root it could not, and opening /root to everybody is no way out.
    """
    name = "korea-realtime-trading"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib") / name
    return platformdirs.user_data_path(name, appauthor=False)


def _listed(given: object) -> object:
    """Read a list of the environment: KRT_STOCKS=005930,000660, or as JSON."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        return json.loads(given)
    # An address may have commas of its own; the next one begins with its scheme.
    parts = re.split(r"[,\s]+(?=\w+://)" if "://" in given else ",", given)
    return [part.strip() for part in parts if part.strip()]


Codes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
Addresses = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_listed)]


class AppKeyPair(BaseModel):
    """One more app key, for `app_keys`: several share the symbols and multiply the budget."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    app_key: SecretStr
    app_secret: SecretStr


class Configuration(BaseSettings):
    """`config.json`: KIS, what is collected, and where things are kept."""

    model_config = SettingsConfigDict(
        env_prefix="KRT_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    base_url: str = KIS_REAL
    account_no: str = ""
    account_no_sub: str = ""
    app_key: SecretStr = SecretStr("")
    app_secret: SecretStr = SecretStr("")
    app_keys: tuple[AppKeyPair, ...] = ()
    polling_interval: float = Field(2.0, ge=0, le=50, description="seconds after the minute")
    calls_per_second: float = Field(5.0, gt=0, le=100, description="ceiling for each app key")
    request_timeout: float = Field(5.0, gt=0, le=60, description="seconds")
    tr_id: dict[str, str] = Field(default_factory=dict)
    stocks: Codes = ()
    futures: Codes = ("A01",)
    option_chains: Codes = ("front",)
    alerts: Addresses = Field((), description="apprise addresses")
    data_folder: Path = Field(
        default_factory=_default_folder,
        description="token, spool, logs and the embedded database",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def has_credentials(self) -> bool:
        """Whether there is an app key to talk to KIS with."""
        return bool(self._pairs)

    @property
    def _pairs(self) -> tuple[AppKeyPair, ...]:
        if not self.app_key.get_secret_value():
            return self.app_keys
        first = AppKeyPair(app_key=self.app_key, app_secret=self.app_secret)
        return (first, *self.app_keys)

    @cached_property
    def kis(self) -> KisSettings:
        """What the KIS client needs to know."""
        return KisSettings(
            base_url=self.base_url.rstrip("/"),
            app_keys=tuple(
                AppKey(app_key=pair.app_key, app_secret=pair.app_secret) for pair in self._pairs
            ),
            polling_interval=self.polling_interval,
            tr_id=self.tr_id,
            calls_per_second=self.calls_per_second,
            request_timeout=self.request_timeout,
        )

    def secrets(self) -> list[str]:
        """Return every secret that must never be seen in a log."""
        held = [secret for pair in self._pairs for secret in (pair.app_key, pair.app_secret)]
        return [secret.get_secret_value() for secret in (*held, *self.alerts)]


class PoolSettings(BaseModel):
    """`pool_settings` of the spec: read so that old files are good, without effect.

    A writer keeps one connection and sets what it needs itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    min_size: int = 1
    max_size: int = 10
    server_settings: dict[str, str] = Field(default_factory=dict)


class DatabaseConfiguration(BaseModel):
    """`db_config.json`: a server of yours. Without it the embedded one is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    postgres_url: SecretStr | None = None
    pool_settings: PoolSettings = Field(default_factory=PoolSettings)

    def secrets(self) -> list[str]:
        """Return every secret that must never be seen in a log."""
        return passwords(self.postgres_url.get_secret_value()) if self.postgres_url else []


def load(folder: Path | None = None) -> tuple[Configuration, DatabaseConfiguration]:
    """Read `config.json`, `db_config.json` (in `folder`, else here) and the environment.

    Raises InputError in one line that names the file and the key, never a value.
    """
    here = folder or Path(os.environ.get("KRT_CONFIG_FOLDER", "."))
    configuration = _read(here / CONFIG_FILE, Configuration)
    database = _read(here / DATABASE_FILE, DatabaseConfiguration)
    if bool(configuration.app_key.get_secret_value()) != bool(
        configuration.app_secret.get_secret_value()
    ):
        raise InputError("app_key and app_secret belong together: one of them is missing")
    if url := os.environ.get("KRT_DATABASE_URL"):
        database = database.model_copy(update={"postgres_url": SecretStr(url)})
    if database.postgres_url is not None:
        checked_address(database.postgres_url.get_secret_value())
    return configuration, database


def _read(path: Path, model: type[Any]) -> Any:
    given = _json(path) if path.exists() else {}
    if issubclass(model, BaseSettings):  # the environment wins over the file
        prefix = str(model.model_config.get("env_prefix", ""))
        given = {k: v for k, v in given.items() if f"{prefix}{k}".upper() not in os.environ}
    try:
        return model(**given)
    except ValidationError as error:
        raise InputError(f"{path.name}: {_one_line(error)}") from None
    except SettingsError as error:
        raise InputError(f"the environment (KRT_…): {error}; it takes JSON") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold one JSON object")
    return content


def _one_line(error: ValidationError) -> str:
    def said(detail: Any) -> str:
        key = ".".join(str(part) for part in detail["loc"])
        unknown = detail["type"] == "extra_forbidden"
        return f"unknown key {key!r}" if unknown else f"{key}: {detail['msg'].lower()}"

    return "; ".join(said(detail) for detail in error.errors(include_input=False))

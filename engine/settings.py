"""Settings as frozen types. Secrets are `SecretStr`: printing a settings object shows no key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

KIS_REAL = "https://openapi.koreainvestment.com:9443"
KIS_MASTER = (
    "https://new.real.download.dws.co.kr/common/master/fo_idx_code_mts.mst.zip"  # KIS's own host
)


class AppKey(BaseModel):
    """One app key of KIS with its secret. Each has a budget of calls of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    app_key: SecretStr
    app_secret: SecretStr


class KisSettings(BaseModel):
    """How to talk to KIS. Times in seconds; `calls_per_second` is the ceiling for each app key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(default=KIS_REAL, pattern=r"^https?://\S+$")
    app_keys: tuple[AppKey, ...] = ()
    polling_interval: float = Field(default=2.0, ge=0, lt=60)
    tr_id: dict[str, str] = {}
    calls_per_second: float = Field(default=5.0, gt=0, le=1000)
    request_timeout: float = Field(default=5.0, gt=0)
    master_url: str = KIS_MASTER

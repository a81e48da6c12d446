"""Are the settings there, readable, for nobody else, and real?"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from engine.errors import KrtError
from engine.market.symbols import parse
from engine.settings import CONFIG_FILE, DATABASE_FILE, KIS_REAL, AppKey
from pipelines.doctor.finding import Finding, Situation
from pipelines.feed import configured_feed

_PLACEHOLDER = re.compile(
    r"[…<>*]|\.{3}|your|example|change|replace|placeholder|xxx|발급|입력|여기|app_?(?:key|secret)",
    re.IGNORECASE,
)
_SHORTEST = 12  # characters; a key of KIS has 36, its secret 180


def check_configuration(situation: Situation) -> Iterator[Finding]:
    """Can config.json, db_config.json and the environment be read, and by nobody else?"""
    if situation.trouble:
        yield Finding(
            "configuration",
            "amiss",
            situation.trouble,
            f"correct it; README.md shows what {CONFIG_FILE} may hold",
        )
        return
    files = [name for name in (CONFIG_FILE, DATABASE_FILE) if (situation.folder / name).exists()]
    variables = sorted(name for name in os.environ if name.startswith("KRT_"))
    says = f"{', '.join(files) or 'no file'} in {situation.folder}"
    if variables:
        says += f"; from the environment: {', '.join(variables)}"
    if open_files := [name for name in files if _is_open(situation, name)]:
        names = " ".join(open_files)
        yield Finding(
            "configuration", "amiss", f"{says}; others may read {names}", f"chmod 600 {names}"
        )
        return
    try:
        feed = configured_feed(situation.settings)
        for symbol in (*feed.stocks, *feed.futures):
            parse(symbol)
    except KrtError as error:
        yield Finding("configuration", "amiss", str(error), "correct what is collected")
        return
    yield Finding("configuration", "well", says)


def check_key(situation: Situation) -> Iterator[Finding]:
    """Is there a key, and does it look like one?"""
    if situation.trouble:
        yield Finding("key", "unknown", "the configuration cannot be read", "see configuration")
        return
    keys = situation.settings.kis.app_keys
    if not keys:
        yield Finding(
            "key",
            "amiss",
            "there is no app_key: everything here is a simulation",
            f"put app_key and app_secret, which KIS gives at its developers' site, into"
            f" {CONFIG_FILE}; for simulations nothing is to be done",
        )
        return
    for number, pair in enumerate(keys, 1):
        if odd := placeholders(pair):
            which = f" of pair {number}" if len(keys) > 1 else ""
            what = "are placeholders" if len(odd) > 1 else "is a placeholder"
            yield Finding(
                "key",
                "amiss",
                f"{' and '.join(odd)}{which} {what}",
                f"put what KIS gave you into {CONFIG_FILE}, whole and without spaces",
            )
            return
    where = (
        "" if situation.settings.base_url == KIS_REAL else f", for {situation.settings.base_url}"
    )
    yield Finding("key", "well", f"{len(keys)} app key{'s' if len(keys) > 1 else ''}{where}")


def placeholders(pair: AppKey) -> list[str]:
    """Return which of app_key and app_secret cannot be what KIS gave."""
    values = {"app_key": pair.app_key, "app_secret": pair.app_secret}
    return [name for name, value in values.items() if _is_no_secret(value.get_secret_value())]


def _is_open(situation: Situation, name: str) -> bool:
    """Return whether accounts other than the owner's may read a file with secrets."""
    if os.name == "nt" or not situation.settings.secrets():
        return False
    return bool((situation.folder / name).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _is_no_secret(text: str) -> bool:
    looks_random = len(text) >= 36 and not re.search(r"[…<>*\s]", text)
    shaped = bool(re.fullmatch(r"[\x21-\x7e]+", text)) and len(text) >= _SHORTEST
    return not looks_random and (not shaped or _PLACEHOLDER.search(text) is not None)

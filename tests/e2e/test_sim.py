"""`just sim` as another program's client finds it: with its own key, today, over plain HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPConnection
from typing import Any

from engine.clock import WallClock
from tests.e2e.conftest import new_desk

KEY, SECRET = "PS" + "k" * 34, "s" * 180  # as long as real ones: some clients insist on that


@contextmanager
def simulator() -> Iterator[str]:
    """Run `just sim` with a key of the client's and today's date; yield its address."""
    arguments = ["--port", "0", "--app-key", KEY, "--app-secret", SECRET, "--date", "today"]
    with new_desk() as desk:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.commands.main", "sim", *arguments],
            cwd=desk.folder,
            env=desk.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "a simulated KIS at" in line)
            yield re.findall(r"http://([\d.]+:\d+)", line)[0]
        finally:
            process.terminate()
            process.communicate(timeout=60)


def ask(base: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
    """Return status and JSON of an answer, by nothing but the standard library."""
    client = HTTPConnection(base, timeout=30)
    method = "GET" if body is None else "POST"
    sent = None if body is None else json.dumps(body)
    client.request(method, path, sent, {"content-type": "application/json", **headers})
    answer = client.getresponse()
    found = json.loads(answer.read())
    client.close()
    return answer.status, found


def test_a_client_with_its_own_key_and_a_real_clock_is_served_today() -> None:
    with simulator() as base:
        asked = {"grant_type": "client_credentials", "appkey": KEY, "appsecret": SECRET}
        status, token = ask(base, "/oauth2/tokenP", {}, asked)
        assert status == 200
        now = WallClock().now()
        expires = datetime.fromisoformat(token["access_token_token_expired"])
        assert timedelta(hours=23) < expires - now < timedelta(hours=25)
        wrong, refusal = ask(base, "/oauth2/tokenP", {}, asked | {"appsecret": "x"})
        assert (wrong, "error_code" in refusal) == (403, True)
        headers = {
            "authorization": f"Bearer {token['access_token']}",
            "appkey": KEY,
            "appsecret": SECRET,
            "custtype": "P",
        }
        # A doubled slash and names in small letters, as mojito2 sends them.
        path = "//uapi/domestic-stock/v1/quotations/inquire-price"
        query = "?fid_cond_mrkt_div_code=J&fid_input_iscd=005930"
        status, price = ask(base, path + query, headers | {"tr_id": "FHKST01010100"})
        assert (status, price["rt_cd"]) == (200, "0")
        assert float(price["output"]["stck_prpr"]) > 0
        days = f"/uapi/domestic-stock/v1/quotations/chk-holiday?BASS_DT={now:%Y%m%d}"
        status, found = ask(
            base, f"{days}&CTX_AREA_NK=&CTX_AREA_FK=", headers | {"tr_id": "CTCA0903R"}
        )
        assert (status, found["output"][0]["bass_dt"]) == (200, f"{now:%Y%m%d}")
        status, unknown = ask(base, "/uapi/overseas-price/v1/quotations/price", headers)
        assert (unknown["rt_cd"], bool(unknown["msg_cd"])) == ("1", True)
        status, approval = ask(
            base,
            "/oauth2/Approval",
            {},
            {"grant_type": "client_credentials", "appkey": KEY, "secretkey": SECRET},
        )
        assert (status, list(approval)) == (200, ["approval_key"])

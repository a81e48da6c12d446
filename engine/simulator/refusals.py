"""Refusals as KIS words them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

TOKEN_INVALID = ("EGW00121", "유효하지 않은 token 입니다.")
TOKEN_NOT_FOUND = ("EGW00122", "token을 찾을 수 없습니다.")
TOKEN_EXPIRED = ("EGW00123", "기간이 만료된 token 입니다.")
TOO_MANY_CALLS = ("EGW00201", "초당 거래건수를 초과하였습니다.")
TOKEN_TOO_SOON = ("EGW00133", "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)")
NO_APP_KEY = ("EGW00102", "AppKey는 필수입니다.")
BAD_APP_KEY = ("EGW00103", "유효하지 않은 AppKey입니다.")
NO_APP_SECRET = ("EGW00104", "AppSecret은 필수입니다.")
BAD_APP_SECRET = ("EGW00105", "유효하지 않은 AppSecret입니다.")
NOT_BEARER = ("EGW00205", "credentials_type이 유효하지 않습니다.(Bearer)")
UNKNOWN_SERVICE = ("OPSQ0002", "없는 서비스 코드 입니다.")


@dataclass
class Refusal(Exception):
    """A call that KIS refuses, mostly with HTTP 500.

    `of_gateway` is the other form, which the token endpoint uses (error_code, error_description).
    """

    msg_cd: str
    msg1: str
    status: int = 500
    rt_cd: str = "1"
    of_gateway: bool = False
    injected: bool = False  # by a scenario: not the caller's fault

    def body(self) -> bytes:
        """Return the body as KIS sends it."""
        if self.of_gateway:
            return orjson.dumps({"error_description": self.msg1, "error_code": self.msg_cd})
        return orjson.dumps({"rt_cd": self.rt_cd, "msg_cd": self.msg_cd, "msg1": self.msg1})


def unknown_service(status: int = 500) -> Refusal:
    """Return the refusal of a path that is not served, or of a TR id that does not belong to it."""
    return Refusal(*UNKNOWN_SERVICE, status=status)


def wrong_field(name: str) -> Refusal:
    """Return the refusal of a field that cannot be read."""
    return Refusal("OPSQ2001", f"ERROR : INPUT INVALID_CHECK_{name}", status=200, rt_cd="2")


def missing_field(name: str) -> Refusal:
    """Return the refusal of a query that lacks a field."""
    return Refusal("OPSQ2001", f"ERROR : INPUT FIELD NOT FOUND [{name}]", status=200, rt_cd="2")

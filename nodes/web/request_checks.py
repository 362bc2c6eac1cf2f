"""Whether a request may be answered: by whom it is sent, and which page of which site asks."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer: text of a run that passed for markup would still load and run nothing."""

LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
MONTH_S = 30 * 24 * 3600


class RequestChecks:
    """Decides by the headers of a request, whose names are in lower case.

    Parameters
    ----------
    allows
        Whether a header Authorization holds the token; with `token` only.
    token
        Whether a token is asked for.
    any_host
        Whether requests may name any host: where a token or a certificate keeps strangers' pages away.
    hosts
        Names of this server, beside those of loopback and addresses. A stranger's page can have its own name resolve to
        this machine (DNS rebinding), and would then read what it shows; but the request still bears that name.
    """

    def __init__(
        self,
        allows: Callable[[str], bool] = lambda _: True,
        *,
        token: bool = False,
        any_host: bool = False,
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.token = token
        self._allows = allows
        self._any_host = any_host
        self._hosts = {name.lower() for name in (*LOCAL_NAMES, *hosts)}
        self._secret = secrets.token_bytes(32)

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request is not answered whoever sends it; None if it is."""
        host = headers.get("host", "")
        name = host_name(host)
        if not self._any_host and name not in self._hosts and not _is_address(name):
            return f"this is not {name[:100]!r}: expected the address that was printed"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return "a page of another site asks; expected this one's"
        return None

    def may_look(self, headers: Mapping[str, str]) -> bool:
        """Whether it bears the token, or the cookie of one who did."""
        if not self.token or self._allows(headers.get("authorization", "")):
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie_name(headers))
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(
            found.value.encode(errors="replace"), self._cookie_value().encode()
        )

    def cookie(self, token: str, headers: Mapping[str, str], *, secure: bool) -> str | None:
        """Return the cookie that stands for a token from now on; None if it is not the token."""
        if not self._allows(f"Bearer {token.strip()}"):
            return None
        attributes = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={MONTH_S}" + ("; Secure" if secure else "")
        return f"{self._cookie_name(headers)}={self._cookie_value()}; {attributes}"

    def _cookie_value(self) -> str:
        return hmac.new(self._secret, b"looked", hashlib.sha256).hexdigest()

    @staticmethod
    def _cookie_name(headers: Mapping[str, str]) -> str:
        """Return a name with the port: cookies of one host's ports are kept together."""
        port = headers.get("host", "").rpartition(":")[2]
        return f"nervenet-{port if port.isdigit() else 'web'}"


def host_name(host: str) -> str:
    """Return the name in a header Host, without the port.

    >>> host_name("[::1]:8080"), host_name("LOCALHOST:80"), host_name("::1")
    ('::1', 'localhost', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return (host.partition(":")[0] if host.count(":") == 1 else host).lower()


def _is_address(name: str) -> bool:
    """Whether it is an IP address, which no name server can have point to another machine."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

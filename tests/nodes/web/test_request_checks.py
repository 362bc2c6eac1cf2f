"""A page of another site cannot read the view, by whatever name it reaches this machine; a token opens it."""

import pytest
from nervenet.nodes.web.request_checks import HEADERS, RequestChecks

TOKEN = "a-token-of-some-length"


def allows(authorization: str) -> bool:
    return authorization == f"Bearer {TOKEN}"


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST", "192.0.2.7:80"])
def test_an_address_and_the_names_of_loopback_are_answered(host: str) -> None:
    assert RequestChecks().refusal({"host": host}) is None
    assert RequestChecks().refusal({"host": host, "origin": f"http://{host}"}) is None


@pytest.mark.parametrize("host", ["evil.example:8765", "", "localhost.evil.example", "127.0.0.1.evil.example:8765"])
def test_another_name_is_refused_because_it_may_be_rebound(host: str) -> None:
    assert "expected the address that was printed" in str(RequestChecks().refusal({"host": host}))


def test_the_name_it_was_told_to_listen_at_is_answered_and_any_with_a_token() -> None:
    assert RequestChecks(hosts=("site.example",)).refusal({"host": "site.example:1"}) is None
    assert RequestChecks(allows, token=True, any_host=True).refusal({"host": "proxy.example"}) is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1:8765.evil"])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    refusal = RequestChecks().refusal({"host": "127.0.0.1:8765", "origin": origin})
    assert refusal == "a page of another site asks; expected this one's"


def test_a_token_or_the_cookie_for_it_is_asked_for() -> None:
    checks, host = RequestChecks(allows, token=True), {"host": "127.0.0.1:8765"}
    assert not checks.may_look(host)
    assert checks.may_look({**host, "authorization": f"Bearer {TOKEN}"})
    assert checks.cookie("another", host, secure=False) is None
    cookie = checks.cookie(TOKEN, host, secure=True)
    assert cookie is not None
    assert {"HttpOnly", "SameSite=Strict", "Secure"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    value = cookie.partition(";")[0]
    assert checks.may_look({**host, "cookie": value})
    for wrong in (value[:-1], "nervenet-8765=x", "nervenet-8765", "=;;,\\", "x" * 9999, 'nervenet-8765="\xe9"'):
        assert not checks.may_look({**host, "cookie": wrong})
    assert not RequestChecks(allows, token=True).may_look({**host, "cookie": value})  # of another process


def test_text_that_passed_for_markup_would_load_and_run_nothing() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"

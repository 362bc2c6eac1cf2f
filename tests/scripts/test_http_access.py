"""Who may ask `nervenet serve`: nobody beyond this machine without a token or TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.scripts import http_connections
from nervenet.scripts.http_access import Access, access_of
from nervenet.scripts.main import execute

TOKEN = "a-token-of-20-letter"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_within_this_machine_nothing_is_needed(host: str) -> None:
    assert access_of("--http", host, None, None, None, insecure=False) == (Access(), "")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org", "*"])
def test_beyond_it_a_token_or_tls_is_needed(host: str, token: Path) -> None:
    with pytest.raises(ExperimentError, match=r"--token-file FILE .* or --tls-cert FILE --tls-key FILE"):
        access_of("--http", host, None, None, None, insecure=False)
    access, caution = access_of("--http", host, token, None, None, insecure=False)
    assert access.token == TOKEN
    assert "the token, the rows and the answers travel unencrypted" in caution
    assert "travel unencrypted" in access_of("--http", host, None, None, None, insecure=True)[1]


def test_the_command_ends_with_both_ways_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["serve", str(tmp_path), "--http", "0.0.0.0:0"]) == 2
    said = capsys.readouterr().err
    assert "--token-file" in said
    assert "--tls-cert" in said


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (TOKEN, 0o644, "chmod 600"),
        ("short", 0o600, "16 letters or more"),
        (TOKEN + "\n" + TOKEN, 0o600, "one line"),
        ("", 0o600, "one line"),
    ],
)
def test_a_token_that_others_can_read_or_guess_is_refused(token: Path, text: str, mode: int, why: str) -> None:
    token.write_text(text)
    token.chmod(mode)
    with pytest.raises(ExperimentError, match=why):
        access_of("--http", "127.0.0.1", token, None, None, insecure=False)


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks: Callable[..., object] = lambda _certificate, _key, password: password()  # noqa: E731
    monkeypatch.setattr("nervenet.scripts.http_access.ssl.SSLContext", lambda _: SimpleNamespace(load_cert_chain=asks))
    with pytest.raises(ExperimentError, match="protected by a pass phrase: openssl pkey"):
        access_of("--http", "127.0.0.1", None, tmp_path / "cert.pem", tmp_path / "key.pem", insecure=False)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ExperimentError, match=r"--token-file .*missing: No such file"):
        access_of("--http", "127.0.0.1", missing, None, None, insecure=False)
    with pytest.raises(ExperimentError, match=r"--tls-cert .*missing.* No such file.*PEM"):
        access_of("--http", "127.0.0.1", None, missing, missing, insecure=False)
    with pytest.raises(ExperimentError, match="expected --tls-cert FILE, too"):
        access_of("--http", "127.0.0.1", None, None, missing, insecure=False)


async def _first_words(late: bytes, within_s: float = 30.0) -> bytes:
    """What a connection hears that says this much of a request and no more."""
    import uvicorn

    async def app(_scope: object, _receive: object, send: object) -> None: ...

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=http_connections.BoundedProtocol, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        try:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(late)
            async with asyncio.timeout(within_s):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            await server.shutdown(sockets=[listener])


@pytest.mark.parametrize("late", [b"", b"POST /predict HTTP/1.1\r\nHost: h\r\n"])
async def test_a_head_that_does_not_come_to_its_end_has_a_deadline(
    late: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connections, "HEAD_S", 0.02)
    assert await _first_words(late) == b""


async def test_without_it_the_connection_would_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "HEAD_S", 1e6)
    with pytest.raises(TimeoutError):
        await _first_words(b"POST ", 0.2)

"""Options of an endpoint beside a command's work: HOST:PORT, alone or not at all."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from nervenet.broker.errors import AddressInUse, BadAddress
from nervenet.nodes.config.keys import ExperimentError
from nervenet.scripts.http_listener import address_of, listening, url_of
from nervenet.scripts.http_options import endpoint_option, http_access_options


@click.command()
@endpoint_option("metrics", "127.0.0.1:9464", "Figures.")
@http_access_options
def command(metrics: str | None, **access: object) -> None:
    print(metrics, access)


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], "None"), (["--metrics"], "127.0.0.1:9464"), (["--metrics", "127.0.0.1:0"], "127.0.0.1:0")],
)
def test_an_endpoint_is_asked_for_with_or_without_its_address(words: list[str], expected: str) -> None:
    said = CliRunner().invoke(command, words).output
    assert said.split()[0] == expected
    assert "'token_file': None, 'tls_cert': None, 'tls_key': None" in said


@pytest.mark.parametrize(
    "text", ["here", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:²", f"127.0.0.1:{'1' * 5000}"]
)
def test_what_is_no_address_is_named_with_its_option(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"^--metrics .*: expected HOST:PORT, as in 127\.0\.0\.1:8000$"):
        address_of("--metrics", text)


def test_the_address_to_type_has_the_port_that_was_picked() -> None:
    assert address_of("--http", "[::1]:80") == ("::1", 80)
    with listening("--metrics", "127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener, "127.0.0.1", encrypted=True) == f"https://127.0.0.1:{port}"
        assert url_of(listener, "::1", encrypted=False) == f"http://[::1]:{port}"
        with pytest.raises(AddressInUse):
            listening("--metrics", "127.0.0.1", port)
    for nowhere in ("nowhere.invalid", "no..where", "n" * 99):
        with pytest.raises(BadAddress, match=f"--metrics {nowhere}"):
            listening("--metrics", nowhere, 0)

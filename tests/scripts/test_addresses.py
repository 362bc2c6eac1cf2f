"""Addresses on a command line are looked at before anything is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import zmq
from nervenet.broker.errors import BadAddress
from nervenet.scripts import addresses
from nervenet.scripts.addresses import to_bind, to_dial, to_dial_by_name
from nervenet.scripts.main import execute

DIALED = [
    "monitor --broker",
    "serve --broker",
    "doctor --broker",
    "invite north --run r --broker",
    "node client --run r --broker",
    "node peer --run r --seed-peer",
    "node aggregator --run r --regions 2 --broker tcp://127.0.0.1:1 --upstream",
]
NO_SCHEME = (
    "10.0.0.5:5555: an address is tcp://HOST:PORT, ipc://PATH or inproc://NAME; did you mean tcp://10.0.0.5:5555?"
)


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says, in one line and before anything else, of an address that it does not take."""
    assert execute(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (found,) = err.splitlines()
    return found


@pytest.mark.parametrize("line", [*DIALED, "broker --bind"])
def test_an_address_without_a_scheme_is_refused_before_anything_is_printed(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    option = line.rsplit(maxsplit=1)[-1]
    assert refused(f"{line} 10.0.0.5:5555", capsys) == f"nervenet: {option} {NO_SCHEME}"


def test_unless_it_is_looked_at_a_line_of_progress_comes_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(addresses, "_problem", lambda address, bind: None)
    assert execute(["node", "coordinator", "--run", "r", "--broker", "10.0.0.5:5555"]) == 2
    assert capsys.readouterr().out.startswith("federated · digits")


def asked(callback: Callable[..., Any], address: str) -> str:
    """What an option makes of an address, or why it refuses it."""
    command = click.Command("x", params=[click.Option(["--broker"], callback=callback)], callback=lambda broker: broker)
    try:
        found: str = command.main(["--broker", address], standalone_mode=False)
    except BadAddress as error:
        return str(error)
    return found


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.0.0.5", "an address is tcp://HOST:PORT"),
        ("http://h:1", "an address is tcp://HOST:PORT"),
        ("tcp://h", "expected tcp://HOST:PORT, with the port on which it listens"),
        ("tcp://h:*", "expected tcp://HOST:PORT, with the port on which it listens"),
        ("tcp://h:0", "expected tcp://HOST:PORT, with the port on which it listens"),
        ("tcp://h:²", "expected tcp://HOST:PORT, with the port on which it listens"),
        ("tcp://h:77777", "a tcp address ends in a port"),
        ("ipc:///tmp/" + 120 * "x", f"an ipc path has at most {zmq.IPC_PATH_MAX_LEN} bytes here, and this one 125"),
    ],
)
def test_what_cannot_be_dialed(address: str, words: str) -> None:
    assert asked(to_dial, address).startswith(f"--broker {address}: {words}")


def test_what_can_be_dialed_or_bound_is_left_as_it_is() -> None:
    for address in ("tcp://h:1", "tcp://[::1]:5555", "ipc:///tmp/x", "inproc://x"):
        assert asked(to_dial, address) == asked(to_bind, address) == address
    assert asked(to_bind, "tcp://127.0.0.1:0") == "tcp://127.0.0.1:0"
    assert asked(to_dial_by_name, "hub@tcp://h:1") == "hub@tcp://h:1"


def test_the_last_ports_can_be_dialed_and_what_binds_three_needs_those_behind() -> None:
    assert asked(to_dial, "tcp://h:65535") == "tcp://h:65535"
    assert asked(to_dial_by_name, "hub@tcp://h:65535") == "hub@tcp://h:65535"
    assert asked(to_bind, "tcp://h:65533") == "tcp://h:65533"
    assert asked(to_bind, "tcp://h:65534").startswith("--broker tcp://h:65534: a tcp address ends in a port")
    assert asked(to_bind, "tcp://h:²").startswith("--broker tcp://h:²: a tcp address ends in a port")


def test_of_a_named_address_the_name_stays_before_the_scheme() -> None:
    assert asked(to_dial_by_name, "hub@h:1").endswith("; did you mean hub@tcp://h:1?")


def test_a_path_to_bind_leaves_room_for_what_is_appended() -> None:
    address = "ipc:///" + (zmq.IPC_PATH_MAX_LEN - 5) * "x"
    assert asked(to_dial, address) == address
    assert "an ipc path, with what is appended to it, has at most" in asked(to_bind, address)

"""A site is looked at while brokers run: what is well, and what is not, with its cause; nobody else is disturbed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.greeting import Reached, greet
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Join, Member, Roster
from nervenet.broker.security.allow_list import allow
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.security.plain import Plain
from nervenet.broker.sockets import Security
from nervenet.broker.transport import ZmqTransport
from nervenet.nodes.config.schema import Experiment, NetworkConfig
from nervenet.nodes.diagnosis import broker_probe
from nervenet.nodes.diagnosis.broker_facts import Asked
from nervenet.nodes.diagnosis.broker_findings import judge_broker
from nervenet.nodes.diagnosis.broker_probe import probe_broker
from nervenet.nodes.diagnosis.finding import Finding
from nervenet.nodes.diagnosis.machine_facts import look_at_folder, look_at_libraries, look_at_ports
from nervenet.nodes.diagnosis.member_probe import try_members
from nervenet.nodes.diagnosis.site import judge_allowed, judge_data, read_keys
from nervenet.nodes.runtime.secured import close_gate, security_of
from nervenet.scripts.main import execute

ROLES = {"hub": "broker,coordinator", "north": "client", "south": "client"}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Keys of a hub and two sites, all of which allow the hub; the hub allows north alone."""
    for name in ROLES:
        write_keys(tmp_path / name, new_key_pair(name))
    public = tmp_path / "hub" / "hub.pub"
    for name in ROLES:
        allow(tmp_path / name, public, ("broker", "coordinator"))
    allow(tmp_path / "hub", tmp_path / "north" / "north.pub", ("client",))
    return tmp_path


def secured(folder: Path | None) -> Security:
    return security_of(NetworkConfig(keys=None if folder is None else str(folder)), None)


async def seen(at_broker: Path | None, here: Path | None, refused: list[str] | None = None) -> list[Finding]:
    """What a site finds of a broker on this machine."""
    theirs, ours = secured(at_broker), secured(here)
    said = [] if refused is None else refused
    try:
        async with Broker("tcp://127.0.0.1:0", security=theirs, on_refused=said.append) as broker:
            asked = Asked(broker.address, "demo", "coordinator", "127.0.0.1")
            found = list(judge_broker(await probe_broker(asked, ours, 20.0), "me"))
            assert broker.counters.malformed == 0
    finally:
        for each in (theirs, ours):
            close_gate(each)
    return found


def wrong(found: list[Finding]) -> list[str]:
    return [f"{finding.check}: {finding.found}" for finding in found if finding.state != "ok"]


async def test_a_broker_without_keys_is_well_and_dials_back() -> None:
    found = await seen(None, None)
    assert wrong(found) == []
    assert {finding.check for finding in found} == {"addresses", "versions", "clock", "run", "inbox"}


async def test_a_site_that_is_allowed_disturbs_nobody(folders: Path) -> None:
    refused: list[str] = []
    found = await seen(folders / "hub", folders / "north", refused)
    assert wrong(found) == []
    assert any(finding.check == "keys" and "lets me in" in finding.found for finding in found)
    assert refused == []


async def dialed(folders: Path, name: str) -> tuple[list[Finding], list[object]]:
    """What a site finds of a coordinator that has joined a run, and what that one has noticed."""
    theirs, ours = secured(folders / "hub"), secured(folders / name)
    noticed: list[object] = []
    try:
        async with Broker("tcp://127.0.0.1:0", security=theirs) as broker:
            hub = ZmqTransport("hub", "coordinator", "demo", bind="tcp://127.0.0.1:*", security=theirs)
            await hub.open(noticed.append, noticed.append)
            context: zmq.Context[Any] = zmq.Context()
            join = Join(0, "demo", "hub", "coordinator", 1, 1, dict(hub.addresses), {}, 0, 5.0)
            async with Lease(broker.address, join, context, security=theirs) as lease:
                await lease.roster()
                found = await probe_broker(Asked(broker.address, "demo", "coordinator"), ours, 20.0)
            await hub.close(0.0)
            await asyncio.to_thread(context.term)
    finally:
        for each in (theirs, ours):
            close_gate(each)
    return list(judge_broker(found, name)), noticed


async def test_a_coordinator_is_dialed_and_notices_nothing(folders: Path) -> None:
    found, noticed = await dialed(folders, "north")
    assert wrong(found) == []
    [reached] = [finding for finding in found if finding.check == "members"]
    assert reached.found.startswith("hub at tcp://127.0.0.1:")
    assert noticed == []


async def test_a_coordinator_that_is_not_allowed_here_or_not_there_is_named(folders: Path) -> None:
    write_keys(folders / "relay", new_key_pair("relay"))
    roster = Roster(
        1, "demo", 1, {}, (Member("relay", "coordinator", 1, 1, {"control": "tcp://127.0.0.1:1"}, "alive"),)
    )
    ours, context = secured(folders / "north"), zmq.Context()
    assert not isinstance(ours, Plain)
    [why] = (await try_members(roster, "coordinator", ours, context, 1.0)).values()
    assert "no key of relay is allowed" in why
    allow(folders / "north", folders / "relay" / "relay.pub", ("coordinator",))
    ours.gate.look()
    [why] = (await try_members(roster, "coordinator", ours, context, 0.2)).values()
    assert why == "Connection refused"
    close_gate(ours)
    await asyncio.to_thread(context.term)


async def test_a_key_that_is_not_allowed_there_is_named(folders: Path) -> None:
    [line] = wrong(await seen(folders / "hub", folders / "south"))
    assert "refuses the key of south: who runs that one lets it in by nervenet keys allow south.pub" in line


async def test_keys_on_one_side_alone_are_named(folders: Path) -> None:
    [line] = wrong(await seen(folders / "hub", None))
    assert line.startswith("keys: the broker at tcp://127.0.0.1:")
    assert line.endswith("encrypts, and no keys are given here")
    [line] = wrong(await seen(None, folders / "north"))
    assert line.endswith("does not encrypt: it was started without keys")


async def test_without_a_look_at_the_greeting_nobody_would_know_why(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def blind(address: str, _within_s: float) -> Reached:
        return Reached(address)

    monkeypatch.setattr(broker_probe, "greet", blind)
    [line] = wrong(await seen(folders / "hub", None))
    assert "encrypts" not in line


def test_the_folder_of_keys_is_read_as_a_node_reads_it(folders: Path) -> None:
    security, found = read_keys(NetworkConfig(keys=str(folders / "north")), None)
    assert [finding.state for finding in found] == ["ok"]
    assert found[0].found.endswith("it allows hub (broker, coordinator)")
    assert security is not None
    assert list(judge_allowed(security, "federated")) == []
    [lonely] = judge_allowed(security, "gossip")
    assert lonely.found == "no key is allowed as peer, whom a node of a gossip run dials"
    (folders / "north" / "north.key").chmod(0o644)
    security, found = read_keys(NetworkConfig(keys=str(folders / "north")), None)
    assert security is None
    assert "chmod 600" in str(found[0])
    (folders / "south" / "allowed" / "x.pub").write_text("nothing")
    assert [finding.state for finding in read_keys(NetworkConfig(keys=str(folders / "south")), None)[1]] == [
        "problem",
        "ok",
    ]


def test_a_data_file_is_read_by_the_reader_of_a_node(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "1,2,0\n3,4,1\n" * 20)
    experiment = Experiment.from_dict({"data": {"name": str(tmp_path / "rows.csv"), "target": "y"}})
    [found] = judge_data(experiment)
    assert found.found.endswith("rows.csv: 40 rows, 2 columns, target y, 246 bytes")
    wrong_target = Experiment.from_dict({"data": {"name": str(tmp_path / "rows.csv"), "target": "z"}})
    [found] = judge_data(wrong_target)
    assert found.state == "problem"


def test_fewer_rows_than_a_site_takes_part_with_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,y\n1,0\n2,1\n")
    data = {"name": str(tmp_path / "rows.csv"), "target": "y"}
    [found] = judge_data(Experiment.from_dict({"data": data}))
    assert found.state == "problem"
    assert "2 rows, 1 columns, target y" in found.found
    assert found.found.endswith("a site takes part with at least 3 (data.min_rows)")
    [found] = judge_data(Experiment.from_dict({"data": data | {"min_rows": 2}}))
    assert found.state == "ok"


def test_this_machine_can_be_looked_at(tmp_path: Path, three_free_ports: Callable[[], int]) -> None:
    assert look_at_libraries().curve
    assert look_at_folder(tmp_path / "not" / "there").parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    port = three_free_ports()
    assert look_at_ports("127.0.0.1", (port, port + 1)).taken == ()

    async def taken() -> tuple[int, ...]:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
            return look_at_ports("127.0.0.1", (port, port + 1)).taken

    assert asyncio.run(taken()) == (port,)
    assert look_at_ports("192.0.2.7", (port,)).why


def test_the_command_prints_a_line_a_check_and_exits_one_for_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("nods = 3\n")
    line = "doctor bad.toml --broker tcp://127.0.0.1:1 --keys none-here"
    assert execute(line.split()) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "problem  experiment nods: there is no such key; did you mean nodes?; see docs/keys.md" in out.replace(
        ": see", "; see"
    )
    assert "nervenet keys new NAME --out none-here" in out
    assert out.splitlines()[-1] == "2 problems, no warnings"
    assert execute([*line.split(), "--json"]) == 1
    found = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert {"check", "state", "found", "allowed", "remedy"} == set(found[0])
    assert [finding["check"] for finding in found if finding["state"] == "problem"] == ["experiment", "keys"]
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.toml"]


def test_a_sites_own_policy_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.toml"
    site.write_text("[site.allow]\nmax_rounds = 5\n")
    words = ["doctor", "--site", str(site), "--broker", "tcp://127.0.0.1:1", "--rounds"]
    execute([*words, "6"])
    assert "warning  policy     this site would decline site.allow.max_rounds: found 6" in capsys.readouterr().out
    execute([*words, "5"])
    assert "ok       policy     such a run is within this site's policy: runs of at most 5" in capsys.readouterr().out
    site.write_text("[data]\n")
    assert execute([*words, "5"]) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--nodes 0", "nodes = 0"),
        ("--broker nonsense", "nonsense: an address is tcp://HOST:PORT"),
        ("--broker tcp://h", "tcp://h: expected tcp://HOST:PORT, with the port on which it listens"),
        ("--broker tcp://h:99999", "tcp://h:99999: a tcp address ends in a port"),
    ],
)
def test_a_wrong_option_is_exit_two(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["doctor", *line.split()]) == 2
    assert words in capsys.readouterr().err


async def test_an_address_that_is_none_is_no_reason_to_fail() -> None:
    for address in ("tcp://h", "tcp://127.0.0.1:99999", "tcp://:", "tcp://a..b:5"):
        assert not (await greet(address, 5.0)).connected

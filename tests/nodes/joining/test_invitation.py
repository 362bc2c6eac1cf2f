"""The file of an invitation: what it holds, what is refused, and that no line of it can be changed."""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import Entry, allow_entry
from nervenet.broker.security.keys import fingerprint, new_key_pair, read_secret
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.joining import invitation as module
from nervenet.nodes.joining.invitation import Invitation, InvitationError, read_invitation, sealed
from nervenet.nodes.joining.inviting import invite, missing_peers, write_invitation

from .conftest import new_hub

Invited = Callable[..., Invitation]


def written(folder: Path, invitation: Invitation) -> Path:
    path = folder / f"{invitation.name}.invite.toml"
    write_invitation(path, invitation)
    return path


def resealed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the tables of an invitation as somebody would who also makes its fingerprint anew."""
    tables = tomllib.loads(path.read_text())
    change(tables)
    tables["fingerprint"] = module._fingerprint(tables)
    path.write_text(tomli_w.dumps(tables))
    return path


def test_what_is_written_is_read_again_and_holds_no_secret(tmp_path: Path, hub: Path, invited: Invited) -> None:
    invitation = invited()
    path = written(tmp_path, invitation)
    assert read_invitation(path) == invitation
    assert invitation.of_role("broker") == invitation.of_role("coordinator") == [invitation.hub] == ["hub"]
    assert invitation.admission == f"nervenet keys allow north.pub --role client --keys {shlex.quote(str(hub))}"
    assert read_secret(hub / "hub.key").secret not in path.read_text()
    assert re.fullmatch(r"([0-9a-f]{4} ){7}[0-9a-f]{4}", invitation.fingerprint)


def test_the_folder_of_the_hub_is_quoted_in_the_command_that_admits(invited: Invited) -> None:
    assert replace(invited(), folder="a b;c").admission.endswith("--keys 'a b;c'")


def test_a_peer_gets_the_keys_of_the_others_and_not_its_own(tmp_path: Path, invited: Invited) -> None:
    folder = new_hub(tmp_path / "p", ("broker",), ("north", "south"))
    invitation = invited(folder=folder, mode="gossip")
    assert sorted(invitation.keys) == ["hub", "south"]
    assert invitation.keys["hub"].roles == ("broker",)
    assert missing_peers(invitation) == 1
    assert missing_peers(invited(mode="federated")) == 0


def test_a_client_gets_no_key_of_another_client(hub: Path, invited: Invited) -> None:
    for name, role in (("south", "client"), ("watcher", "monitor")):
        allow_entry(hub, Entry(name, new_key_pair(name).public, frozenset({role})), "here")
    assert list(invited().keys) == ["hub"]


def test_any_change_is_noticed(tmp_path: Path, invited: Invited) -> None:
    path = written(tmp_path, invited())
    text = path.read_text()
    for old, new in (
        ("rounds = 20", "rounds = 21"),
        ("flowers", "flowres"),
        ('folder = "', 'folder = "x'),
        ("5555", "5556"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(InvitationError, match=r"was changed after it was written .*; ask hub to send it again"):
            read_invitation(path)


def test_without_its_fingerprint_a_change_would_pass(
    tmp_path: Path, invited: Invited, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, invited())
    path.write_text(path.read_text().replace("rounds = 20", "rounds = 21"))
    said = tomllib.loads(path.read_text())["fingerprint"]
    monkeypatch.setattr(module, "_fingerprint", lambda _: said)
    assert read_invitation(path).experiment["rounds"] == 21


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update(format=2), ["format = 2", "nervenet 0.1.0", "reads format 1", "the same version"]),
        (lambda t: t.pop("format"), ["no invitation", "format is missing"]),
        (lambda t: t.update(secret="x"), ["secret: there is no such key"]),
        (lambda t: t.update(brokr="x"), ["brokr", "did you mean broker"]),
        (lambda t: t["keys"]["hub"].update(secret="x"), ["keys.hub.secret", "no such key"]),
        (lambda t: t["keys"]["hub"].update(public="x"), ["keys.hub.public", "40 characters"]),
        (lambda t: t["keys"]["hub"].update(roles=["monitor", "broker"]), ["keys.hub.roles", "monitor", "broker and"]),
        (lambda t: t["keys"]["hub"].update(roles=["broker"]), ["coordinator", "0"]),
        (lambda t: t["keys"].update({"../hub": t["keys"].pop("hub")}), ["../hub", "letters"]),
        (lambda t: t["keys"].update(other=t["keys"]["hub"]), ["two names"]),
        (lambda t: t["keys"].update(north=t["keys"].pop("hub")), ["keys.north", "who is invited"]),
        (lambda t: t["keys"].update(hub={"public": 3, "roles": ["broker"]}), ["keys.hub.public", "text"]),
        (lambda t: t.update(keys=[]), ["keys"]),
        (lambda t: t.update(name="a/b"), ["a/b", "letters"]),
        (lambda t: t.update(name="broker"), ["broker", "reserved"]),
        (lambda t: t.update(role="aggregator"), ["role", "client", "monitor"]),
        (lambda t: t.update(role="monitor"), ["keys.hub.roles", "coordinator", "monitor"]),
        (
            lambda t: (t.update(role="monitor"), t["keys"]["hub"].update(roles=["broker"])),
            ["experiment.data.", "a monitor takes part in no run"],
        ),
        (lambda t: t.update(role="peer"), ["keys.hub.roles", "coordinator", "peer"]),
        (lambda t: t.update(run=""), ["run"]),
        (lambda t: t.update(broker="http://hub"), ["broker = http://hub", "tcp://HOST:PORT"]),
        (lambda t: t.update(broker="tcp://hub"), ["broker = tcp://hub", "port"]),
        (lambda t: t.update(broker="tcp://0.0.0.0:5"), ["broker = tcp://0.0.0.0:5", "others reach it"]),
        (lambda t: t["experiment"].update(mode="gossip"), ["role = 'client'", "gossip"]),
        (lambda t: t["experiment"].update(roundz=3), ["experiment.roundz", "rounds"]),
        (lambda t: t["experiment"].update(rounds=0), ["experiment.rounds = 0"]),
        (lambda t: t["experiment"].update(network={"keys": "x"}), ["experiment.network.keys", "no place"]),
        (lambda t: t["experiment"].update(network={"insecure": True}), ["experiment.network.insecure", "no place"]),
        (lambda t: t["experiment"].update(site={"unrecorded": True}), ["experiment.site.unrecorded", "no place"]),
        (lambda t: t["experiment"]["data"].update(name="/etc/hostname"), ["experiment.data.name", "no place"]),
    ],
)
def test_what_no_invitation_says_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], words: list[str], tmp_path: Path, invited: Invited
) -> None:
    path = resealed(written(tmp_path, invited()), change)
    with pytest.raises(InvitationError) as refused:
        read_invitation(path)
    assert all(word in str(refused.value) for word in [str(path), *words])


def test_what_is_no_file_or_too_long_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("#" * (module.MOST_BYTES + 1))
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "deep").write_text("a = " + "[" * 50_000)
    said = {
        "pipe": "is no file",
        "long": "more than 262,144",
        "latin": "no invitation",
        "deep": "no invitation",
        "x": "north",
    }
    said["x"] = "no such invitation"
    for name, words in said.items():
        with pytest.raises(InvitationError, match=words):
            read_invitation(tmp_path / name)


PARTS = ".a" * 50_000


LINES = {
    "key": f"a{PARTS} = 1",
    "table": f"[a{PARTS}]",
    "quoted": f'"a"{PARTS}."b" = 1',
    "apostrophes": f"'\"'{PARTS} = 1",
    "escaped": f'"\\\\"{PARTS} = 1',
    "inline": f"x = {{a{PARTS} = 1}}",
    "a separator that ends no line of TOML": "a" + '.a.a."\u2028"' * 20_000 + " = 1",
    "several lines": f'x = [{{a = """\nb"""}}, {{a{PARTS} = 1}}]',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_key_of_many_parts_is_refused_before_it_is_read(
    line: str, tmp_path: Path, invited: Invited, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, invited())
    path.write_text(f"{path.read_text()}{line}\n")
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("it was read"))
    with pytest.raises(InvitationError, match=r"is no invitation: line \d+ has more than 32 points"):
        read_invitation(path)


def test_texts_may_have_as_many_points_as_they_like(tmp_path: Path, invited: Invited) -> None:
    told = 'it\'s "a" \\ b' + PARTS[:2_000]
    invitation = sealed(replace(invited(), run="f", folder=told, fingerprint=""))
    path = written(tmp_path, invitation)
    assert read_invitation(path).folder == told


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(content=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_invitation_or_say_why_not(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "north.invite.toml"
    path.write_bytes(content)
    with pytest.raises(InvitationError):
        read_invitation(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_another_byte_anywhere_is_noticed_or_means_nothing(
    place: float, byte: int, tmp_path: Path, invited: Invited, known: dict[str, bytes]
) -> None:
    path = tmp_path / "north.invite.toml"
    if not known:
        known["text"] = written(tmp_path, invited()).read_bytes()
        known["seal"] = read_invitation(path).fingerprint.encode()
    text = bytearray(known["text"])
    text[int(place * len(text))] = byte
    path.write_bytes(text)
    try:
        found = read_invitation(path)
    except InvitationError:
        return
    assert found.fingerprint.encode() == known["seal"]


@pytest.fixture
def known() -> dict[str, bytes]:
    """What one example leaves to the next."""
    return {}


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        (("coordinator",), "no key as broker.*nervenet keys allow .*hub.pub --role broker,coordinator"),
        (("broker",), "no key as coordinator"),
    ],
)
def test_a_hub_that_allows_too_few_says_what_to_do(
    roles: tuple[str, ...], words: str, tmp_path: Path, invited: Invited
) -> None:
    with pytest.raises(KeysError, match=words):
        invited(folder=new_hub(tmp_path / "other", roles))


def test_a_folder_that_is_not_there_is_made_by_a_command(tmp_path: Path, invited: Invited) -> None:
    with pytest.raises(KeysError, match="nervenet keys new hub --role broker,coordinator --out"):
        invited(folder=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"name": "hub"}, "hub: is allowed .* as broker, coordinator"),
        ({"network__insecure": True}, "network.insecure"),
        ({"name": "a b"}, "letters"),
        ({"mode": "gossip", "init": "run"}, "init = .*run': is a file of this machine"),
        ({"mode": "gossip", "gossip__topology": "edges", "gossip__edges": "edges.txt"}, "gossip.edges"),
    ],
)
def test_what_cannot_be_an_invitation_says_so(
    overrides: dict[str, Any], words: str, invited: Invited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edges.txt").write_text("0 1\n1 2\n")
    with pytest.raises((InvitationError, ExperimentError), match=words):
        invited(**overrides)


def test_the_broker_is_named_as_sites_reach_it(hub: Path) -> None:
    from nervenet.nodes.config.schema import Experiment

    for address in ("tcp://*:5555", "tcp://hub:0", "ipc:///tmp/x"):
        with pytest.raises(InvitationError, match="broker = "):
            invite("north", Experiment(), run="flowers", broker=address, folder=hub)


def test_only_an_invitation_for_the_same_site_is_replaced(tmp_path: Path, invited: Invited) -> None:
    path = written(tmp_path, invited())
    write_invitation(path, invited(rounds=7))
    assert read_invitation(path).experiment["rounds"] == 7
    with pytest.raises(InvitationError, match=r"is there already, and an invitation for north"):
        write_invitation(path, invited("south"))
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InvitationError, match=r"something else; choose another file by --out"):
        write_invitation(tmp_path / "notes", invited())


def test_what_is_shown_of_an_invitation_obeys_no_terminal(invited: Invited) -> None:
    evil = sealed(replace(invited(), run="\x1b]0;x\x07\n# y", fingerprint=""))
    comments = [line for line in evil.to_text().splitlines() if line.startswith("#")]
    assert len(comments) == 3
    assert evil.to_text().isascii()
    assert "\x1b" not in evil.to_text()


def test_the_fingerprint_of_a_key_is_half_of_its_sha_256() -> None:
    from hashlib import sha256

    public = new_key_pair("north").public
    assert fingerprint(public).replace(" ", "") == sha256(public.encode()).hexdigest()[:32]


def test_a_fingerprint_is_of_what_is_said_and_not_of_how(tmp_path: Path, invited: Invited) -> None:
    path = written(tmp_path, invited())
    tables = tomllib.loads(path.read_text())
    path.write_text("# another comment\n" + tomli_w.dumps(json.loads(json.dumps(tables))))
    assert read_invitation(path).fingerprint == tables["fingerprint"]

"""What differs between the rosters that the members of a run are told is the id; the rest is encoded and read once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from nervenet.broker import messages as m
from nervenet.broker import roster_frames
from nervenet.broker.codec import decode, encode
from nervenet.broker.directory import Directory, Reply
from nervenet.broker.errors import ProtocolError
from nervenet.broker.roster_frames import RosterFrames, RosterReader

TERMS = {"mode": "gossip", "rounds": 3, "gossip": {"topology": "ring"}}
IDS = (0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63)


def roster(id_: int = 1, nodes: int = 3, version: int = 1) -> m.Roster:
    members = tuple(
        m.Member(f"n{number}", "peer", 7, 40 + number, {"control": f"tcp://127.0.0.1:{5_000 + number}"}, "alive")
        for number in range(nodes)
    )
    return m.Roster(id_, "demo", version, TERMS, members, {member.node: 7 for member in members})


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[m.Message]:
    """Return a list of what is encoded from now on."""
    encoded: list[m.Message] = []
    monkeypatch.setattr(roster_frames, "encode", lambda message: encoded.append(message) or encode(message))
    return encoded


def readings(monkeypatch: pytest.MonkeyPatch) -> list[m.Message]:
    """Return a list of what is decoded from now on."""
    decoded: list[m.Message] = []

    def read(frames):
        found = decode(frames)
        decoded.append(found[0])
        return found

    monkeypatch.setattr(roster_frames, "decode", read)
    return decoded


def test_a_frame_is_that_of_the_codec_whatever_its_id():
    frames, one = RosterFrames(), roster()
    for id_ in IDS:
        assert [frames.frame(replace(one, id=id_))] == encode(replace(one, id=id_))


def test_what_has_changed_is_encoded_anew():
    frames = RosterFrames()
    for one in (roster(), roster(version=2), roster(nodes=2), replace(roster(), shared_config={}), roster(id_=9)):
        assert [frames.frame(one)] == encode(one)


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_told_to_all_members_is_encoded_once(monkeypatch, shared):
    encoded = encodings(monkeypatch)
    if not shared:
        monkeypatch.setattr(roster_frames, "_alike", lambda *_: False)
    frames, told = RosterFrames(), told_at_once(40)
    assert frames.envelope(m.Ok(1)) is None
    assert len({frames.frame(each) for each in told}) == 39
    assert len(encoded) == (1 if shared else 39)


def told_at_once(nodes: int) -> list[m.Roster]:
    """Return what a directory tells those who have waited for the last one to join."""
    directory = Directory("in", "out")
    for number in range(nodes):
        join = m.Join(1, "demo", f"n{number}", "peer", 1, 1, {"control": "tcp://h:1"}, TERMS, nodes, 9.0)
        outcomes = directory.handle(b"%d" % number, join, 0.0)
        if number < nodes - 1:
            assert directory.handle(b"%d" % number, m.GetRoster(number, "demo", 0, 9.0), 0.0) == []
    messages = [outcome.message for outcome in outcomes if isinstance(outcome, Reply)]
    return [message for message in messages if isinstance(message, m.Roster)]


def test_a_roster_is_read_as_by_the_codec_and_once_by_all_who_share_the_reader(monkeypatch):
    reader, decoded = RosterReader(), readings(monkeypatch)
    found = [reader.decode(encode(roster(id_=id_))) for id_ in IDS]
    assert found == [roster(id_=id_) for id_ in IDS]
    assert len(decoded) == 1
    assert all(each.members is found[0].members for each in found)
    assert reader.decode(encode(roster(version=2))) == roster(version=2)
    assert RosterReader().decode(encode(roster())).members is not found[0].members


@pytest.mark.parametrize(
    "message",
    [
        m.Ok(5),
        m.Failed(5, "late", "no newer roster yet"),
        m.Joined(5, "in", "out", 5.0, 1),
        replace(roster(), members=()),
    ],
)
def test_other_answers_are_read_as_they_are(message):
    reader = RosterReader()
    reader.decode(encode(roster()))
    assert reader.decode(encode(message)) == message
    assert reader.decode(encode(roster(id_=4))) == roster(id_=4)


@pytest.mark.parametrize("id_", [b"\xff", b"\xcf\x00", b"\xc0", b""])
def test_a_roster_whose_id_is_none_is_malformed(id_):
    reader = RosterReader()
    whole = bytes(encode(roster())[0])
    reader.decode([whole])
    at = roster_frames._ID_AT
    broken = whole[:at] + id_ + (whole[at + 1 :] if id_ else b"")
    with pytest.raises(ProtocolError):
        reader.decode([broken])
    with pytest.raises(ProtocolError):
        reader.decode([whole, b"array"])

"""Examples of every message, and the frames they have had since version 1 of the protocol.

python tests/protocol/make_golden.py        writes golden/*.hex; run it only when docs/protocol.md has changed, too
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nervenet.broker import messages as m
from nervenet.broker.codec import encode

GOLDEN = Path(__file__).parent / "golden"

WEIGHTS = np.array([1.0, -2.5, 3.25], np.float32)
STATISTICS = np.array([150.0, 5.8, 102.2], np.float64)
CALL = m.Call("peer-0", 1_700_000_000_000_000, 7)
FLOATS = m.Payload("0123456789abcdef", "float32", 3)
LARGE = m.Payload("0123456789abcdef", "float32", 250_000_000)
DOUBLES = m.Payload("fedcba9876543210", "float64", 3)
MEMBER = m.Member("client-0", "client", 1_700_000_000_000_000, 4711, {"control": "tcp://10.0.0.2:41000"}, "alive")
NEWS = m.MemberState("peer-3", 9, "suspect", 1, {"control": "tcp://h:1", "bulk": "tcp://h:2"})
FACTS = {"columns": ["a", "b"], "classes": [0, 1, 2]}
ANSWERED = (m.SiteFields("peer-2", 1, {"classes": [0, 1]}), m.SiteFields("peer-3", 2, {"classes": [1]}))
SURVEYED = {
    "columns": ["age", "ward"],
    "classes": ["no", "yes"],
    "kinds": ["number", "category"],
    "gaps": [2, 0],
    "differ": [False, False],
    "rows": 120,
    "categories": {"ward": ["north", "south"]},
}
PIPELINE = {"step": "sklearn.impute.SimpleImputer", "parameters": {"strategy": "median"}}
SCHEMA = {"columns": ["age"], "kinds": ["number"], "gaps": [True]}
ABOUT = {"schema": SCHEMA, "classes": ["no", "yes"], "pipeline": PIPELINE}
FIT = {
    "ask": "fit",
    "step": "",
    "class": "SimpleImputer",
    "fitted": {},
    "questions": [{"part": "missing", "missing": None}, {"part": "moments", "missing": None}],
    "table": ABOUT,
}
STATES = {"": {"rows": 120, "missing": [2.0], "statistics": [50.5], "dtype": "float64"}}
TABLE = {
    "kind": "table",
    "schema": SCHEMA,
    "left_out": ["ward"],
    "classes": ["no", "yes"],
    "pipeline": PIPELINE,
    "fitted": {"columns": ["age"], "kinds": ["number"], "states": STATES, "names": ["age"]},
    "target_center": 0.0,
    "target_scale": 1.0,
}
EVENT = {
    "type": "warning",
    "run": "demo",
    "node": "client-0",
    "role": "client",
    "incarnation": 1,
    "seq": 1,
    "time": 2.5,
}

EXAMPLES: dict[str, tuple[m.Message, Any]] = {
    m.tag_of(message): (message, array)
    for message, array in [
        (m.Hello("client-0", "client", "demo", 1_700_000_000_000_000, 1, 1, "0.1.0"), None),
        (m.SharedMemoryOffer("nervenet-00112233445566778899aabbccddeeff", "0123456789abcdef" * 4), None),
        (m.Heartbeat(7, "training", (6, 7)), None),
        (m.Goodbye(7, "done"), None),
        (m.Refused("update", 3, "late", "round 3 is closed; this is round 4"), None),
        (m.Ready(120, 4711), None),
        (m.Task(3, 1, "train", 30.0, True, {"epochs": 5}, {"center": [0.5]}, FLOATS), WEIGHTS),
        (m.Update(3, 1, 120, {"loss": 0.25}, FACTS, DOUBLES), STATISTICS),
        (m.Declined(3, 1, "out of time"), None),
        (m.Announcement(2, m.Exchange(3, LARGE)), None),
        (m.GetChunk(3, 2, 1_048_576, 3), None),
        (m.Chunk(3, 2, 1_048_576, FLOATS), WEIGHTS),
        (m.Fetched(2), None),
        (m.PeerSurvey("peer-2", FACTS, DOUBLES), STATISTICS),
        (m.PeerSurveys(ANSWERED, {"columns": ["x"]}, DOUBLES), STATISTICS),
        (m.Carried("peer-1", ("peer-2", "peer-3"), {"t": "get_model"}, 15), None),
        (m.CarriedBulk("peer-1", ("peer-2",), {"t": "exchange", "round": 5}, 60, FLOATS, 5), WEIGHTS),
        (m.Departed(1_700_000_000_000_000), None),
        (m.CatchUp(3, {"ask": "spread", "mean": [0.5]}), None),
        (m.Exchange(5, FLOATS), WEIGHTS),
        (m.Propose(1_700_000_000_000_001, FLOATS), WEIGHTS),
        (m.Accept(1_700_000_000_000_001, FLOATS), WEIGHTS),
        (m.Decision(1_700_000_000_000_001, "taken"), None),
        (m.QueryDecision(1_700_000_000_000_001), None),
        (m.Walk(40, 1, 0, FLOATS), WEIGHTS),
        (m.Ping(3, "peer-2", (NEWS,)), None),
        (m.Ack(3, "peer-2", ()), None),
        (m.Gossip((NEWS, m.MemberState("peer-4", 9, "dead")), "ask"), None),
        (m.Shuffle((m.Contact("peer-3", 9, {"control": "tcp://h:1"}, 4),), False), None),
        (m.Edge(6, 2), None),
        (m.GetPeers({"mode": "gossip", "nodes": 4}), None),
        (m.Peers((NEWS,), ("peer-2", "peer-3"), "tcp://h:5556"), None),
        (m.GetModel(), None),
        (m.Model(5, {"center": [0.5]}, FLOATS), WEIGHTS),
        (m.ReduceReady(5), None),
        (m.ReduceCall(5, CALL, ("peer-0", "peer-1", "peer-2")), None),
        (m.ReducePart(5, CALL, FLOATS, 120), WEIGHTS),
        (m.ReducedPart(5, CALL, FLOATS, missing=("peer-2",)), WEIGHTS),
        (m.Report("result", 2, {"accuracy": 0.5}, FLOATS), WEIGHTS),
        (m.Receipt(2), None),
        (m.Join(1, "demo", "client-0", "client", 9, 4711, {"control": "tcp://h:1"}, {"mode": "gossip"}, 2, 30.0), None),
        (m.Joined(1, "tcp://h:5556", "tcp://h:5557", 5.0, 0), None),
        (m.Leave(2, "demo", "client-0", 9, "done"), None),
        (m.RenewLease(3, "demo", "client-0", 9), None),
        (m.GetRoster(4, "demo", 0, 18.0), None),
        (m.Roster(4, "demo", 1, {"mode": "gossip"}, (MEMBER,)), None),
        (m.GetSnapshot(5, "node."), None),
        (m.Snapshot(5, (EVENT,), True), None),
        (m.GetEventAddresses(6), None),
        (m.EventAddresses(6, "tcp://h:5556", "tcp://h:5557"), None),
        (m.GetBrokerInfo(7), None),
        (m.BrokerInfo(7, 1, 1, "0.1.0", 1_700_000_000.25, 2), None),
        (m.DialBack(8, "tcp://10.0.0.2:41000"), None),
        (m.Ok(3), None),
        (m.Failed(4, "incomplete", "1 of 2 nodes joined within 30 s: client-0"), None),
    ]
}

FURTHER: dict[str, tuple[m.Message, Any]] = {
    "hello-host": (m.Hello("client-0", "client", "demo", 9, 1, 1, "0.1.0", "", "0123456789abcdef"), None),
    "task-question": (m.Task(0, 2, "survey", 30.0, False, {}, question={"ask": "spread", "mean": [0.5]}), None),
    "task-site": (m.Task(2, 0, "train", 30.0, False, {}, payload=FLOATS, strategy="fedavg", clients=3), WEIGHTS),
    "declined-by-policy": (m.Declined(2, 0, "found 50 rounds", "site.allow.max_rounds"), None),
    "task-fit": (m.Task(0, 2, "survey", 30.0, False, {}, question=FIT), None),
    "task-table": (m.Task(1, 0, "train", 30.0, False, {"epochs": 5}, TABLE, FLOATS), WEIGHTS),
    "task-manifest": (m.Task(3, 0, "train", 30.0, False, {}, manifest=m.Manifest(LARGE, 2)), None),
    "update-manifest": (m.Update(3, 0, 120, {"loss": 0.25}, manifest=m.Manifest(LARGE, 2)), None),
    "update-table": (m.Update(0, 1, 120, {}, SURVEYED, DOUBLES), STATISTICS),
    "peer_survey-table": (m.PeerSurvey("peer-2", SURVEYED, DOUBLES), STATISTICS),
    "catch_up-fit": (m.CatchUp(3, FIT), None),
    "peer_survey-step": (m.PeerSurvey("peer-2", FACTS, DOUBLES, step=2), STATISTICS),
    "catch_up-agreement": (m.CatchUp(3, agreement={"center": [0.5]}), None),
    "edge-withdrawn": (m.Edge(6, 2, True, withdrawn=3, heard=1), None),
    "announcement-model": (m.Announcement(2, m.Model(5, {"center": [0.5]}, LARGE)), None),
    "exchange-mass": (m.Exchange(5, FLOATS, mass=0.75), WEIGHTS),
    "exchange-difference": (
        m.Exchange(5, m.Payload("0123456789abcdef", "uint8", 3, "delta+int8"), base=4),
        np.array([1, 2, 3], np.uint8),
    ),
    "exchange-parts": (
        m.Exchange(5, m.Payload("0123456789abcdef", "float32", 4, parts=("weights", "gradients"))),
        np.array([1.0, -2.5, 0.5, 0.25], np.float32),
    ),
}
"""What some messages have beside, where an algorithm, a codec or round 0 asks for it."""


def text_of(message: m.Message, array: Any) -> str:
    """Frames as hexadecimal lines, 32 bytes a line, an empty line between frames."""
    return (
        "\n\n".join(
            "\n".join(frame[i : i + 32].hex(" ") for i in range(0, len(frame), 32))
            for frame in map(bytes, encode(message, array))
        )
        + "\n"
    )


def frames_of(text: str) -> list[bytes]:
    """The frames that a text shows."""
    return [bytes.fromhex(part) for part in text.split("\n\n")]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for tag, (message, array) in EXAMPLES.items():
        (GOLDEN / f"{tag}.hex").write_text(text_of(message, array))
    for name, (message, array) in FURTHER.items():
        (GOLDEN / "further").mkdir(exist_ok=True)
        (GOLDEN / "further" / f"{name}.hex").write_text(text_of(message, array))

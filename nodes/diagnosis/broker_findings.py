"""What the facts of a broker mean, and what to do about them; pure."""

from __future__ import annotations

from collections.abc import Iterator

from nervenet.broker.messages import BrokerInfo, Failed, Ok, Roster
from nervenet.broker.versions import OURS, Spoken, common, mismatch

from ..runtime.printable import listed
from .broker_facts import BrokerFacts
from .finding import Finding, ok, problem, warning

MOST_OFFSET_S = 5.0
"""Above it incarnations and the times of events are misleading; nothing breaks."""

START = "start it: nervenet broker --bind tcp://HOST:PORT"


def judge_broker(facts: BrokerFacts, name: str = "") -> Iterator[Finding]:
    """Yield a finding for each thing that was asked of a broker; `name` is that of this node, if it has one."""
    yield from _addresses(facts)
    yield from _let_in(facts, name)
    yield from _versions(facts)
    yield from _clock(facts)
    yield from _run(facts, name)
    yield from _members(facts)
    yield from _inbox(facts)


def _addresses(facts: BrokerFacts) -> Iterator[Finding]:
    at = facts.reached
    if facts.info is not None:
        yield ok("addresses", f"the broker answers at {facts.address}")
        for address, why in facts.events.items():
            if why:
                remedy = "open that port on the way to the broker; it is one of the three that follow each other"
                yield problem(
                    "addresses", f"{address} (events) cannot be used: {why}", "three ports of the broker", remedy
                )
            else:
                yield ok("addresses", f"events pass at {address}")
    elif at is not None and not at.connected:
        yield problem("addresses", f"nothing is reached at {at.address}: {at.why}", "the broker's directory", (
            f"if it does not run, {START}; else look at the address, and at firewalls on the way"))  # fmt: skip
    elif at is not None and not at.mechanism:
        yield problem("addresses", f"what listens at {at.address} does not speak ZeroMQ", "a broker", (
            "look at the port: the directory's is the first of three"))  # fmt: skip
    elif at is not None and at.connected:
        yield ok("addresses", f"something that speaks ZeroMQ listens at {at.address}")
        if not facts.refused and not facts.not_asked and (at.mechanism == "NULL") != facts.encrypted:
            yield problem("addresses", f"it answers no request at {at.address}", "a broker's directory", (
                "look at the port: the directory's is the first of three"))  # fmt: skip
    elif not facts.not_asked:
        yield problem("addresses", f"no broker answers at {facts.address}", "", START)


def _let_in(facts: BrokerFacts, name: str) -> Iterator[Finding]:
    at = facts.reached
    if at is not None and at.mechanism == "CURVE" and not facts.encrypted:
        remedy = "give this node's key by --keys DIR (nervenet keys new NAME, and have the broker allow it)"
        yield problem(
            "keys", f"the broker at {at.address} encrypts, and no keys are given here", "keys at both", remedy
        )
    elif at is not None and at.mechanism == "NULL" and facts.encrypted:
        remedy = "start the broker with --keys DIR too, or leave --keys out on one machine"
        yield problem(
            "keys", f"the broker at {at.address} does not encrypt: it was started without keys", "keys at both", remedy
        )
    elif facts.refused:
        remedy = "compare the keys with who runs the broker (nervenet keys show)" if facts.encrypted else ""
        yield problem("keys", facts.refused, "", remedy)
    elif facts.not_asked:
        yield problem("keys", facts.not_asked)
    elif facts.info is not None and facts.encrypted:
        yield ok("keys", f"the broker has the key that is allowed here, and lets {name or 'this node'} in")


def _versions(facts: BrokerFacts) -> Iterator[Finding]:
    match facts.info:
        case BrokerInfo(version=newest, oldest=oldest, release=release):
            theirs = Spoken(oldest, newest, release)
            if common(theirs) is None:
                yield problem("versions", mismatch("the broker", theirs, "this machine"))
            else:
                yield ok("versions", f"the broker speaks {theirs}, this machine {OURS}")
        case Failed(code="version", reason=reason):
            yield problem("versions", f"{reason}; this machine speaks {OURS}")
        case Failed(code=code):
            old = f"the broker does not tell its release ({code}): its nervenet is older than this one"
            yield warning("versions", old, str(OURS), "upgrade the broker, or make sure that both are compatible")


def _clock(facts: BrokerFacts) -> Iterator[Finding]:
    if not isinstance(facts.info, BrokerInfo):
        return
    if abs(facts.offset_s) <= max(facts.uncertain_s, 0.1):
        yield ok("clock", "this clock agrees with the broker's")
        return
    apart = f"this clock is {abs(facts.offset_s):.1f} s {'behind' if facts.offset_s > 0 else 'ahead of'} the broker's"
    if abs(facts.offset_s) - facts.uncertain_s > MOST_OFFSET_S:
        remedy = "let both keep time by NTP (timedatectl set-ntp true); events and incarnations are numbered by clock"
        yield warning("clock", apart, f"at most {MOST_OFFSET_S:g} s", remedy)
    else:
        yield ok("clock", apart)


def _run(facts: BrokerFacts, name: str) -> Iterator[Finding]:
    match facts.run:
        case Roster(run=run, members=members):
            living = [member for member in members if member.state != "dead"]
            names = listed([member.node for member in living])
            yield ok("run", f"run '{run}' has begun, {len(living)} living members: {names}")
            if name and any(member.node == name for member in living):
                remedy = "choose another --name, or end that node by --replace"
                yield warning("run", f"a node called {name} takes part already", "one node of a name", remedy)
        case Failed(code="unknown", reason=reason):
            yield ok("run", f"{reason} yet: the first node that joins opens it")
        case Failed(code="late", reason=reason):
            yield ok("run", f"waiting for its nodes: {reason}")
        case Failed(code=code, reason=reason):
            remedy = "start its nodes again: a run whose nodes have all gone is forgotten within a minute"
            yield problem("run", f"cannot be joined ({code}): {reason}", "", remedy)


def _members(facts: BrokerFacts) -> Iterator[Finding]:
    for where, why in facts.members.items():
        if why:
            yield problem("members", f"{where} cannot be dialed: {why}", "", "ask who runs it to look, too")
        else:
            yield ok("members", f"{where} is reached, and has the key that is allowed here")


def _inbox(facts: BrokerFacts) -> Iterator[Finding]:
    if facts.not_bound:
        yield problem("inbox", facts.not_bound, "an interface of this machine", "look at network.bind")
        return
    if not facts.inbox:
        return
    address = facts.inbox
    match facts.back:
        case Ok():
            yield ok("inbox", f"the broker reaches this node at {address}")
        case Failed(code="unreachable", reason=reason):
            remedy = "let connections in to this machine's ports, or correct --advertise and network.bind"
            yield problem("inbox", f"the broker does not reach this node: {reason}", "to be dialed back", remedy)
        case Failed(code="elsewhere", reason=reason):
            remedy = "correct --advertise if that is wrong; else try from another machine"
            yield warning("inbox", f"not dialed back: {reason}", "the address of this machine", remedy)
        case _:
            remedy = f"dial {address.rpartition(':')[0]} from another machine while a node runs"
            yield warning("inbox", f"nobody can dial back {address}", "a broker that does", remedy)

"""Who a node is and where: its broker, its run, its name, its addresses."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import zmq
from nervenet.broker.authority import SERVICES
from nervenet.broker.hosting import Host
from nervenet.broker.messages import Member, Roster
from nervenet.broker.roster_frames import RosterReader
from nervenet.broker.sockets import Security

from ..config.keys import ExperimentError
from ..config.schema import NetworkConfig
from .lanes import HostedThreads
from .shared_agreement import SharedAgreements

RESERVED = SERVICES  # who publish and report by these names are no nodes


class NodeFailed(RuntimeError):
    """A node ended without having done what was asked of it; the message says why, for people."""


@dataclass(frozen=True)
class NodeIdentity:
    """Where a node is: its broker, its run, its name, and the launcher's report server if it has one."""

    broker: str
    run: str
    name: str
    report_server: Mapping[str, str] | None = None  # addresses by lane; None for a node without a launcher
    shared_config: Mapping[str, Any] = field(default_factory=dict)  # what all nodes must have in common
    checkpoint_dir: Path | None = None  # of what it needs to go on after its own death; None: nothing is kept
    previous_incarnation: int = 0  # which it resumes: the new one is larger, whatever its clock says
    min_nodes: int | None = None  # that must join before it begins; None: as many as the experiment says
    context: zmq.Context[zmq.Socket[bytes]] | None = None  # shared with other nodes of the process; its owner ends it
    host: Host | None = None  # through which it is reached, with other nodes of the process; None: it has own sockets
    agreements: SharedAgreements | None = None  # of such nodes, in round 0
    rosters: RosterReader | None = None  # of such nodes, which are told the same of each other
    threads: HostedThreads | None = None  # of such nodes, for their workers; None: it has own ones
    patient: bool = False  # waits for its broker and the other nodes as long as it takes, whatever the deadline to join
    replace: bool = False  # takes its name even from a node that still answers
    seed_peer: str = ""  # control address of a living peer of a run that has begun, in place of `broker`
    security: Security | None = None  # of its sockets; None: as the experiment says, for its name
    audit_dir: Path | None = None  # of its audit log; None: it keeps none
    upstream: str = ""  # of an aggregator: the broker of the run above, and that run's name
    upstream_run: str = ""
    region: str = ""  # of a node of a launch that has regions: the one that it is in, and the run of the launch,
    publishes_for: str = ""  # of which its events are; `run` is that of its region

    def __post_init__(self) -> None:
        if self.name in RESERVED:
            raise ExperimentError(f"a node cannot be named {self.name!r}: {', '.join(sorted(RESERVED))} are reserved")


def inbox_address(network: NetworkConfig) -> str:
    """Return the address pattern on which a node binds its inbox."""
    if network.transport == "tcp":
        return f"tcp://{network.bind}:*"
    if network.transport == "inproc":
        return f"inproc://nervenet-{secrets.token_hex(6)}"
    folder = Path(network.bind) if network.bind.startswith("/") else Path(gettempdir())
    return f"ipc://{folder}/nervenet-{secrets.token_hex(6)}"


def seed_of(seed_peer: str) -> tuple[str, str]:
    """Return the name and the address of a seed peer, ``NAME@tcp://HOST:PORT``; the name is for its key."""
    name, at, address = seed_peer.partition("@tcp://")
    return (name, f"tcp://{address}") if at else ("", seed_peer)


def default_name(role: str) -> str:
    """Return a name for a node that was given none: unique enough, and readable."""
    return f"{role}-{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"


def members_of(roster: Roster, role: str) -> dict[str, Member]:
    """Return the members of one role, by name, in name order."""
    return {member.node: member for member in sorted(roster.members, key=lambda m: m.node) if member.role == role}

"""What is asked of a broker, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from nervenet.broker.greeting import Reached
from nervenet.broker.messages import BrokerInfo, Failed, Message


@dataclass(frozen=True)
class Asked:
    """What is to be found out: of the broker at an address, of a run, and of this node's own inbox."""

    broker: str
    run: str = ""
    dials: str = ""  # the role of those whom this node dials
    bind: str = ""  # the interface of the inbox that is to be dialed back; empty: nobody dials this node
    advertise: str = ""  # the host by which it is reached


@dataclass
class BrokerFacts:
    """What was found; a reason is empty where there is nothing to say."""

    address: str
    encrypted: bool = False  # whether this side has keys
    reached: Reached | None = None  # the directory's port, where the broker has not answered
    not_asked: str = ""  # why nothing was sent at all
    refused: str = ""  # why the broker does not let this side in, or is not the one that is expected
    info: BrokerInfo | Failed | None = None
    offset_s: float = 0.0  # its clock less this one's
    uncertain_s: float = 0.0  # by so much that may be wrong
    events: dict[str, str] = field(default_factory=dict)  # by address: why it cannot be used
    run: Message | None = None
    members: dict[str, str] = field(default_factory=dict)  # by name and address: why one cannot be dialed
    inbox: str = ""  # the address that was to be dialed back
    back: Message | None = None  # what the broker says of it
    not_bound: str = ""  # why the inbox could not be opened

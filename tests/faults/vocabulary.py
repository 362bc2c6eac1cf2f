"""What can befall the nodes of a run, as data; the same words on virtual time and over real processes.

| word | on virtual time (`fleet`, `gossip_histories`) | over real processes (`processes`) |
|---|---|---|
| `Kill` | the node is gone; started again as a new incarnation | SIGKILL |
| `Stop` | what arrives waits, timers are late | SIGSTOP, and SIGCONT after a time |
| `Cut` | no message passes; connections end, or not | a relay ends connections and takes none, or is mute |
| `Forget` | - | connections that there are go mute for good, as those that a NAT forgot; new ones work |
| `Slow` | messages take longer | a relay delays bytes, and shares out a bandwidth |
| `Lossy`, `Duplicate` | messages are lost, or come twice | - (a connection repeats and orders by itself) |
| `DiskFull` | a checkpoint cannot be written | no file grows: RLIMIT_FSIZE of the running process |
| `ReadOnly` | - | a folder is mounted read-only over itself, or its writing bits are gone |
| `ClockJump` | - (machines know no wall clock) | ``time.time`` of the process jumps, see `clock/` |
| `AddressChange` | a node is started again elsewhere: a `Kill` | its connections end, others take their place |

Times are seconds after the beginning of the history, durations are seconds. A broker's restart is the `Kill` of the
broker: who launched it starts it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Kill:
    """A node dies; `noticed` if its connections end with it. After `down_s` it is started again, if that is given."""

    node: str
    at: float
    noticed: bool = True
    down_s: float | None = None


@dataclass(frozen=True)
class Stop:
    """A node stands still for a while, as by a closed lid."""

    node: str
    at: float
    for_s: float


@dataclass(frozen=True)
class Cut:
    """Nothing passes between `side` and all others for a while; `severed` if connections end with it."""

    side: frozenset[str]
    at: float
    for_s: float
    severed: bool = True

    @property
    def end(self) -> float:
        return self.at + self.for_s

    def between(self, one: str, other: str, now: float) -> bool:
        """Whether it stands between two nodes at a time."""
        return self.at <= now < self.end and (one in self.side) != (other in self.side)


@dataclass(frozen=True)
class Forget:
    """A device on the way forgets the connections of a node: what is sent over them is lost, and nobody is told."""

    node: str
    at: float


@dataclass(frozen=True)
class Slow:
    """Everything takes `delay_s` longer for a while, and all share `bytes_per_s` each way, if that is given."""

    at: float
    for_s: float
    delay_s: float = 0.0
    bytes_per_s: float | None = None


@dataclass(frozen=True)
class Lossy:
    """A share of all messages is lost for a while."""

    at: float
    for_s: float
    share: float


@dataclass(frozen=True)
class Duplicate:
    """A share of all messages comes twice for a while."""

    at: float
    for_s: float
    share: float


@dataclass(frozen=True)
class DiskFull:
    """A process can write no byte more for a while."""

    node: str
    at: float
    for_s: float


@dataclass(frozen=True)
class ReadOnly:
    """The run folder cannot be written for a while."""

    at: float
    for_s: float


@dataclass(frozen=True)
class ClockJump:
    """A process's wall clock is set forward, or back."""

    node: str
    at: float
    by_s: float


@dataclass(frozen=True)
class AddressChange:
    """A node is reached elsewhere from now on."""

    node: str
    at: float


Fault: TypeAlias = (
    Kill | Stop | Cut | Forget | Slow | Lossy | Duplicate | DiskFull | ReadOnly | ClockJump | AddressChange
)


def over_at(faults: Iterable[Fault]) -> float:
    """Return when the last fault is over: its end, or the new start of who was killed."""
    ends = (fault.at + (getattr(fault, "for_s", None) or getattr(fault, "down_s", None) or 0.0) for fault in faults)
    return max(ends, default=0.0)


def standing_s(faults: Iterable[Fault]) -> float:
    """Return for how many seconds, in sum, somebody stood still or was cut off: no wait of others may be longer."""
    return sum(fault.for_s for fault in faults if not isinstance(fault, Kill | Forget | ClockJump | AddressChange))

"""What all messages share: field types, lanes, the description of an array, and the base class."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

__all__ = [
    "OLDEST",
    "VERSION",
    "Address",
    "Addresses",
    "Base",
    "Bulk",
    "Clock",
    "Count",
    "Encoding",
    "Host",
    "Lane",
    "Mass",
    "Name",
    "Parts",
    "Payload",
    "Proof",
    "Refutations",
    "Release",
    "Role",
    "RunName",
    "Seconds",
    "Secret",
    "SocketName",
    "Version",
    "Withdrawals",
    "snake_case",
]

VERSION = 1
"""Newest version of the protocol that this package speaks, apart from its own version."""

OLDEST = 1
"""The oldest one that it still speaks."""

Count = Annotated[int, Meta(ge=0)]
Refutations = Annotated[int, Meta(ge=0, le=2**53)]  # bounded, so that there is room to increment
Withdrawals = Refutations
Version = Annotated[int, Meta(ge=0, le=255)]  # it has one byte of every header
Release = Annotated[str, Meta(max_length=64)]
Address = Annotated[str, Meta(max_length=256)]
Addresses = Annotated[dict[str, Address], Meta(max_length=4)]  # forwarded, many in one message
Clock = Annotated[float, Meta(ge=0, le=2**53)]  # steps so far of a model's learning-rate schedule
Mass = Annotated[float, Meta(ge=0, le=1e300)]
Seconds = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]  # not $, which takes a newline at the end
Role = Annotated[str, Meta(max_length=32)]
RunName = Annotated[str, Meta(min_length=1, max_length=128)]
Proof = Annotated[str, Meta(max_length=128)]
Host = Annotated[str, Meta(max_length=64)]
SocketName = Annotated[str, Meta(pattern=r"^nervenet-[0-9a-f]{32}\Z")]
Secret = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Encoding = Annotated[str, Meta(max_length=64)]
Parts = Annotated[tuple[str, ...], Meta(min_length=1, max_length=4)]


class Lane(StrEnum):
    """Which connection carries a message; urgent messages never queue behind large ones."""

    CONTROL = "control"
    BULK = "bulk"
    DIRECTORY = "directory"


def snake_case(name: str) -> str:
    """Return the wire name of a class: ``GetPeers`` is ``get_peers``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Base(Struct, frozen=True, tag_field="t", tag=snake_case, forbid_unknown_fields=True):
    """Base of every message; its kind travels under ``t``."""

    lane: ClassVar[Lane] = Lane.CONTROL


class Bulk(Base, frozen=True):
    """Base of the messages that may carry an array."""

    lane: ClassVar[Lane] = Lane.BULK


class Payload(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Describes the one array of a message: its layout, ``length`` numbers of ``dtype``.

    ``parts`` names the vectors that are concatenated in it, each as long as the layout says, the weights first.
    With an ``encoding`` the array is bytes (``dtype`` uint8), which whoever knows the encoding decodes to the parts.
    """

    layout: str
    dtype: Literal["float32", "float64", "uint8"]
    length: Count
    encoding: Encoding = ""
    parts: Parts = ("weights",)

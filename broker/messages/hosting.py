"""Messages between processes that host several nodes each: other messages, carried for those."""

from __future__ import annotations

from typing import Any

from .base import Base, Bulk, Count, Name, Payload

__all__ = ["Carried", "CarriedBulk", "Departed"]


class Carried(Base, frozen=True, omit_defaults=True):
    """A ``message`` of the control lane, by its fields, from one hosted node to others that another process hosts.

    It would take ``nbytes`` by itself. ``answers``: it is the answer to a HELLO.
    """

    sender: Name
    to: tuple[Name, ...]
    message: dict[str, Any]
    nbytes: Count
    answers: bool = False


class CarriedBulk(Bulk, frozen=True, omit_defaults=True):
    """The same of the bulk lane; the message's ``payload`` is in place of its own, and ``round`` is its round."""

    sender: Name
    to: tuple[Name, ...]
    message: dict[str, Any]
    nbytes: Count
    payload: Payload | None = None
    round: Count = 0


class Departed(Base, frozen=True):
    """A hosted node has closed; its process goes on."""

    incarnation: Count

"""Messages into what carries them between two processes, and out of it again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..codec import plain
from ..errors import ProtocolError
from ..messages import BY_TAG, Carried, CarriedBulk, Lane, Message, tag_of


def carried(
    sender: str, to: Sequence[str], message: Message, nbytes: int, *, answers: bool = False
) -> Carried | CarriedBulk:
    """Return the message that carries another one to nodes of another process."""
    fields: dict[str, Any] = msgspec.to_builtins(message, enc_hook=plain)
    if message.lane is Lane.CONTROL:
        return Carried(sender, tuple(to), fields, nbytes, answers)
    fields.pop("payload", None)
    payload, number = getattr(message, "payload", None), getattr(message, "round", 0)
    return CarriedBulk(sender, tuple(to), fields, nbytes, payload, number)


def opened(carrier: Carried | CarriedBulk) -> Message:
    """Return the message that is carried.

    Raises
    ------
    ProtocolError
        It is none, or one of another lane, or carries another in turn.
    """
    kind = carrier.message.get("t")
    cls = BY_TAG.get(kind) if type(kind) is str else None
    if cls is None or cls in (Carried, CarriedBulk) or cls.lane is not carrier.lane:
        raise ProtocolError("malformed", f"what is carried by {tag_of(carrier)} is no message of its lane")
    fields = carrier.message
    if isinstance(carrier, CarriedBulk) and carrier.payload is not None:
        fields = {**fields, "payload": msgspec.to_builtins(carrier.payload)}
    try:
        message: Message = msgspec.convert(fields, cls)
    except (msgspec.ValidationError, RecursionError) as error:
        why = " ".join(str(error).split())[:120]
        raise ProtocolError("malformed", f"{kind}, carried: {why}") from None
    return message

"""Where vectors that are to be sent lie: those that the worker has made are put where other processes can read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec.structs import replace

from . import events as ev

Share: TypeAlias = Callable[[Any], Any]
"""Returns a vector, or a copy of it in shared memory: `Transport.share`."""


def shared(answer: ev.Event, share: Share) -> ev.Event:
    """Return an answer of the worker with the vectors that will be sent as `share` returns them."""
    match answer:
        case ev.Trained(body=body, apart=apart) if body is not None or apart:
            moved = None if body is None else share(body)
            others = {peer: replace(model, body=share(model.body)) for peer, model in apart.items()}
            return answer if moved is body and not others else replace(answer, body=moved, apart=others)
        case ev.Folded(body=body, outgoing=outgoing) | ev.ModelReady(body=body, outgoing=outgoing):
            moved = outgoing if outgoing is None else share(outgoing)
            if moved is outgoing:
                return answer
            return replace(answer, body=moved if outgoing is body else body, outgoing=moved)
    return answer

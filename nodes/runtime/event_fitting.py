"""Events from elsewhere, fitted to what docs/events.md says of them: what does not have its type is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import msgspec

from .event_types import CLASSES, AnyEvent, Event, UnknownEvent

FIELDS = {kind: {f.name: f for f in msgspec.structs.fields(cls) if f.name != "raw"} for kind, cls in CLASSES.items()}
# The same for a map as a whole: one look at almost every event, in place of one at each field.
_WHOLE = {
    kind: TypedDict(kind, {f.name: f.type if f.required else NotRequired[f.type] for f in fields.values()})  # type: ignore[operator]
    for kind, fields in FIELDS.items()
}


class Fitted(dict[str, Any]):
    """An event as `fit` returns it: nobody needs to look at it again."""


def fitted(event: Mapping[str, Any] | Event) -> Mapping[str, Any]:
    """Return an event as a map whose known fields have their types."""
    if isinstance(event, Event):
        return event.raw
    return event if isinstance(event, Fitted) else fit(event)[0]


def fit(raw: Mapping[str, Any]) -> tuple[Fitted, str]:
    """Return an event as a map whose known fields have their types, and in a word what did not fit.

    What does not fit is left out, so nothing that reads the map can stumble over it; so is what is missing.
    """
    fields, problems = Fitted(raw), []
    found = raw.get("type")
    kind = found if isinstance(found, str) and found in FIELDS else "unknown"
    try:
        # Not strict: counts may be floats without a fraction.
        fields.update(msgspec.convert(fields, _WHOLE[kind], strict=False))
        return fields, ""
    except msgspec.ValidationError:
        pass
    for name, field in FIELDS[kind].items():
        if name not in fields:
            if field.required:
                problems.append(f"{name} is missing")
            continue
        try:
            fields[name] = msgspec.convert(fields[name], field.type, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {error}")
            del fields[name]
    return fields, "; ".join(problems)[:200]


def parse_event(raw: Mapping[str, Any]) -> AnyEvent:
    """Return the typed event of a map, `UnknownEvent` where its type or its fields are not known."""
    fields, problem = fit(raw)
    kind = str(raw.get("type"))
    cls = UnknownEvent if problem else CLASSES.get(kind, UnknownEvent)
    return msgspec.convert({**fields, "raw": fields, "type": cls.__struct_config__.tag}, cls)  # type: ignore[return-value]

"""What a newcomer is told where it brings other terms to a run than that was opened with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 8  # terms that a refusal names


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return which terms another brings otherwise, with its own values and not with the run's; empty: none.

    All at once: whoever has the wrong experiment learns what to correct, and nobody asks the terms out one by one.
    """
    mine, other = _flat(ours), _flat(theirs)
    keys = [k for k in sorted(mine.keys() | other.keys()) if k not in mine or k not in other or mine[k] != other[k]]
    if not keys:
        return ""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(f"{key}={_shown(other, key)}" for key in keys[:_SHOWN]) + more


def _flat(shared_config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in shared_config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _shown(shared_config: Mapping[str, Any], key: str) -> str:
    if key not in shared_config:
        return "(not given)"
    value = shared_config[key]
    return value[:80] if isinstance(value, str) else repr(value)[:80]

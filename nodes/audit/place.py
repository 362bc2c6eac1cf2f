"""Where the audit log of a node is."""

from __future__ import annotations

import os
from pathlib import Path


def audit_folder(*, wanted: bool, chosen: str | None, run_dir: Path | str | None) -> Path | None:
    """Return the folder of a node's audit log: what was chosen, that of its run folder, or that of programs' state.

    None: it is not wanted.
    """
    if not wanted:
        return None
    if chosen is not None:
        return Path(chosen).expanduser()
    return Path(run_dir) / "audit" if run_dir else state_folder()


def state_folder() -> Path:
    """Return where the logs are of nodes that have no run folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.path.expanduser(state)) / "nervenet" / "audit"  # noqa: PTH111 (which fails without a home)

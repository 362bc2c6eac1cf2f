"""The keys of a launch: those of a folder; or thrown away after it, where it leaves this machine and has none.

Every process of the run has its own, in one folder: whom that allows, all allow. There is one to watch by, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..config.schema import Experiment
from ..results.run_dir import KEYS as FOLDER
from ..runtime.identity import inbox_address

SERVICES = {"broker": "broker", "launcher": "launcher", "baseline": "baseline", "monitor": "monitor"}


@contextmanager
def launch_keys(experiment: Experiment, roles: Mapping[str, str], run_dir: Path) -> Iterator[Experiment]:
    """Yield the experiment as the run's processes get it: with `network.keys`, where their connections need them.

    `roles` are those of the nodes, by name.
    """
    network = experiment.network
    if network.keys is not None:
        _make(Path(network.keys).absolute(), roles)
        yield _with(experiment, Path(network.keys).absolute())
        return
    if network.insecure or network.transport != "tcp" or _stays_here(experiment):
        yield experiment
        return
    folder = run_dir.absolute() / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a launch that was killed: they open nothing any more
    try:
        _make(folder, roles)
        yield _with(experiment, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keys_to_watch_by(experiment: Experiment, run_dirs: Sequence[Path]) -> Path | None:
    """Return the folder of keys that a monitor of the newest of these runs needs, or None."""
    if experiment.network.keys is not None:
        return Path(experiment.network.keys)
    found = [folder / FOLDER for folder in run_dirs if (folder / FOLDER).is_dir()]
    return found[-1] if found else None


def _stays_here(experiment: Experiment) -> bool:
    from nervenet.broker.security.plain import is_local

    return is_local(inbox_address(experiment.network))


def _with(experiment: Experiment, folder: Path) -> Experiment:
    return replace(experiment, network=replace(experiment.network, keys=str(folder)))


def _make(folder: Path, roles: Mapping[str, str]) -> None:
    from nervenet.broker.security.allow_list import allow
    from nervenet.broker.security.keys import PUBLIC, SECRET, new_key_pair, write_keys

    for name, role in {**SERVICES, **roles}.items():
        if not (folder / f"{name}{SECRET}").exists():
            write_keys(folder, new_key_pair(name))
            allow(folder, folder / f"{name}{PUBLIC}", [role])

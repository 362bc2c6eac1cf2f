"""The keys of a launch: those of a folder; or thrown away after it, where it leaves this machine and has none.

Every process of the run has its own, in one folder: whom that allows, all allow. There is one to watch by, too. A
site's own folder is left alone: a launch writes only where nobody else has put keys, and marks that folder as its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..results.run_dir import KEYS as FOLDER
from ..runtime.identity import inbox_address

SERVICES = {"broker": "broker", "launcher": "launcher", "baseline": "baseline", "monitor": "monitor"}
MARK = "launch.txt"
_MARKED = "The keys of the processes of nervenet launch, all of which are allowed here. Not for the keys of a site.\n"


def check_keys(experiment: Experiment) -> None:
    """Raise ExperimentError where `network.keys` holds keys that no launch has made: those of a site stay its own."""
    if experiment.network.keys is None:
        return
    from nervenet.broker.security.allow_list import FOLDER as ALLOWED
    from nervenet.broker.security.keys import PUBLIC, SECRET

    folder = Path(experiment.network.keys)
    if (folder / MARK).exists():
        return
    kinds = (f"*{SECRET}", f"*{PUBLIC}", f"{ALLOWED}/*{PUBLIC}")
    found = sorted(
        str(path.relative_to(folder)) for kind in kinds for path in folder.glob(kind) if not path.name.startswith(".")
    )
    if found:
        shown = ", ".join(found[:3]) + ("" if len(found) <= 3 else f" and {len(found) - 3} more")
        raise ExperimentError(
            f"network.keys = {experiment.network.keys!r}: holds keys that no launch has made ({shown}), and a launch "
            "would add its own and allow them there; expected another folder, which is made (--keys DIR)"
        )


@contextmanager
def launch_keys(
    experiment: Experiment,
    roles: Mapping[str, str],
    run_dir: Path,
    remove_at_end: Callable[[Path], None] = lambda _: None,
) -> Iterator[Experiment]:
    """Yield the experiment as the run's processes get it: with `network.keys`, where their connections need them.

    `roles` are those of the nodes, by name. A folder that is thrown away is removed at the end of this block; that it
    goes although this process is killed is for whoever is told of it by `remove_at_end`, before anything is in it.
    """
    network = experiment.network
    if network.keys is not None:
        check_keys(experiment)
        _make(Path(network.keys).absolute(), roles)
        yield _with(experiment, Path(network.keys).absolute())
        return
    if not has_keys(experiment):
        yield experiment
        return
    folder = run_dir.absolute() / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a launch that was killed: they open nothing any more
    try:
        _make(folder, roles, remove_at_end)
        yield _with(experiment, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keys_to_watch_by(experiment: Experiment, run_dirs: Sequence[Path]) -> Path | None:
    """Return the folder of keys that a monitor of the newest of these runs needs, or None."""
    if experiment.network.keys is not None:
        return Path(experiment.network.keys)
    found = [folder / FOLDER for folder in run_dirs if (folder / FOLDER).is_dir()]
    return found[-1] if found else None


def has_keys(experiment: Experiment) -> bool:
    """Return whether the connections of a launch are encrypted: by keys of a folder, or by some made for it."""
    from nervenet.broker.security.plain import is_local

    network = experiment.network
    beyond = network.transport == "tcp" and not is_local(inbox_address(network))
    return network.keys is not None or (beyond and not network.insecure)


def _with(experiment: Experiment, folder: Path) -> Experiment:
    return replace(experiment, network=replace(experiment.network, keys=str(folder)))


def _make(folder: Path, roles: Mapping[str, str], remove_at_end: Callable[[Path], None] = lambda _: None) -> None:
    """Make the keys that are missing. One whose secret is there is allowed, or has been revoked since.

    The secret comes last: a launch that is killed meanwhile leaves no half that the next one would take for whole.
    """
    from nervenet.broker.errors import KeysError
    from nervenet.broker.security.allow_list import FOLDER as ALLOWED
    from nervenet.broker.security.allow_list import allow
    from nervenet.broker.security.keys import (
        PART,
        PUBLIC,
        SECRET,
        make_folder,
        new_key_pair,
        public_text,
        write_atomically,
        write_secret,
    )

    try:
        make_folder(folder)
        remove_at_end(folder)
        (folder / MARK).write_text(_MARKED, encoding="utf-8")  # first: a launch that is killed can be repeated
        for part in (*folder.glob(f".*{PART}"), *folder.glob(f"{ALLOWED}/.*{PART}")):
            part.unlink(missing_ok=True)
        for name, role in {**SERVICES, **roles}.items():
            secret, public = folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"
            if secret.exists():
                continue
            keys = new_key_pair(name)
            write_atomically(public, public_text(name, keys.public))
            (folder / ALLOWED / public.name).unlink(missing_ok=True)  # of a key whose secret nobody has
            allow(folder, public, [role, *(["coordinator"] if role == "aggregator" else [])])  # of its region's run
            write_secret(secret, keys)
    except OSError as error:
        raise KeysError(f"{folder}: cannot be written: {error.strerror}") from None

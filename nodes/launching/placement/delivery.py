"""What a worker is sent for a process: its job, the contents of the files that it gets, and the keys of its nodes.

One msgpack map of bytes: no code is in it, and nothing of it is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgpack

EXPERIMENT = "experiment.toml"  # of a run folder: written once, before anything is started


@dataclass(frozen=True)
class Delivery:
    """A process's job, with what it needs that is not at its worker."""

    job: Mapping[str, Any]
    files: Sequence[bytes] = ()
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # by the path in their folder
    preload: Sequence[str] = ()  # modules that the process will import
    run_dir: str = ""
    mark: Sequence[int] = ()  # by which the run folder is known, where a worker sees it too

    def pack(self) -> bytes:
        return bytes(msgpack.packb({each.name: getattr(self, each.name) for each in fields(self)}))

    @classmethod
    def unpack(cls, packed: bytes) -> Delivery:
        return cls(**msgpack.unpackb(packed))


def contents(descriptor: int) -> bytes:
    """Return what an open file holds, whatever its position; nothing of one that is no regular file."""
    size, found = os.fstat(descriptor).st_size, bytearray()
    while len(found) < size and (part := os.pread(descriptor, size - len(found), len(found))):
        found += part
    return bytes(found)


def mark_of(run_dir: Path) -> list[int]:
    """Return by what a run folder is known from another machine that has the same disk; empty: it is not there."""
    with suppress(OSError):
        found = (run_dir / EXPERIMENT).stat()
        return [found.st_ino, found.st_mtime_ns]
    return []


def keys_of(folder: Path | None, nodes: Sequence[str]) -> dict[str, bytes]:
    """Return what a process needs of a launch's folder of keys: those of its nodes, and who is allowed."""
    if folder is None:
        return {}
    from nervenet.broker.security.allow_list import FOLDER as ALLOWED
    from nervenet.broker.security.keys import PUBLIC, SECRET

    own = [folder / f"{node}{kind}" for node in nodes for kind in (SECRET, PUBLIC)]
    allowed = sorted((folder / ALLOWED).glob(f"*{PUBLIC}"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in (*own, *allowed)}


def write_keys(folder: Path, keys: Mapping[str, bytes]) -> None:
    """Write them, each readable by its owner alone."""
    from nervenet.broker.security.keys import make_folder

    make_folder(folder)
    for name, content in keys.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def remove_keys(folder: Path) -> None:
    """Remove a folder of keys as far as it is there."""
    import shutil

    with suppress(OSError):
        shutil.rmtree(folder)

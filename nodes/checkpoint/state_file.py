"""One file of named arrays and a record, whole or recognizably damaged: what checkpoints are kept in.

The format is safetensors, which executes nothing; its metadata hold the round, the record as JSON and a BLAKE2b digest
of everything. Written here rather than by that library, which copies every array twice on its way to the disk, and has
no order for its metadata.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""Counts up when an older reader would misread a newer file."""

KIND = "nervenet.state"
HEADER_BYTES = 100_000_000  # the format's own limit
DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
CODES = {np.dtype(numpy): code for code, numpy in DTYPES.items()}
NAME = re.compile(r"round-(\d+)\.safetensors")
UNFINISHED = ".unfinished-"


class CheckpointError(RuntimeError):
    """A state could not be kept, or is of a newer format; the message names the file and what is wrong with it."""


class Damaged(ValueError):
    """A file is not a whole state: cut short, changed, or written by another program."""


@dataclass(frozen=True)
class State:
    """What one file holds: `arrays` by name, and whatever else the future depends on, after `round`."""

    round: int
    arrays: dict[str, NDArray[Any]]
    record: dict[str, Any]


def path_of(folder: Path, number: int) -> Path:
    return folder / f"round-{number:09d}.safetensors"


def rounds_in(folder: Path) -> list[int]:
    """Rounds of which there is a file, whole or not, the newest first."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((int(match[1]) for name in names if (match := NAME.fullmatch(name))), reverse=True)


def write_state(
    folder: Path, number: int, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any], *, durable: bool
) -> None:
    """Write the state of a round, whole or not at all; no array is copied that lies in C order.

    The folder must exist, and have no other writer; the arrays must not change meanwhile. They are booleans, integers
    and real numbers in the machine's own byte order. The record is for JSON: numbers keep every bit, and NaN is one.
    What is `durable` outlives a power cut (fsync of the file and the folder), and not only this process.

    Raises
    ------
    CheckpointError
        The system refuses: the disk is full, the folder gone, and so on. What was there before stays.
    TypeError
        An array or a value of the record is of a kind that is not kept.
    """
    blocks = {name: _block(name, array) for name, array in arrays.items()}
    metadata, rest = _header(number, arrays, blocks, record)
    header = f"{metadata}{rest}"
    # Wide elements first: each array then begins at a multiple of its own element's size.
    ordered = [blocks[name] for name in _order(blocks)]
    # The digest is one more of the metadata; to write a long record out anew for it would take most of the time.
    text = f'{metadata[:-1]},"blake2b":"{_digest(header, ordered)}"}}{rest}'.encode()
    text += b" " * (-len(text) % 8)
    unfinished = folder / f"{UNFINISHED}{os.getpid()}"
    try:
        with unfinished.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for block in ordered:
                file.write(block.reshape(-1).view(np.uint8).data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        unfinished.replace(path_of(folder, number))
        if durable:
            _sync(folder)
    except OSError as error:
        size = 8 + len(text) + sum(block.nbytes for block in ordered)
        reason = f"{error.strerror or error} ({size:,} bytes wanted)"
        raise CheckpointError(f"the state of round {number} could not be written to {folder}: {reason}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read_state(folder: Path, number: int) -> State:
    """Read the state of a round; its arrays are writable and share one buffer.

    Raises
    ------
    Damaged
        It is not whole, or not ours.
    CheckpointError
        It is of another format than this program knows.
    """
    path = path_of(folder, number)
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            size = int.from_bytes(file.read(8), "little")
            if length < 8 or not 2 <= size <= min(length - 8, HEADER_BYTES):
                raise Damaged(f"{path}: is cut short, or no safetensors file")
            header = _parse(path, file.read(size))
            data = np.empty(length - 8 - size, np.uint8)
            if file.readinto(data.data) != data.size:
                raise Damaged(f"{path}: changed while it was read")
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {error.strerror or error}") from None
    metadata = header["__metadata__"]
    digest = metadata.pop("blake2b", None)
    if digest != _digest(json.dumps(header, separators=(",", ":")), [data]):
        raise Damaged(f"{path}: is damaged: its checksum differs")
    if int(metadata["round"]) != number:
        raise Damaged(f"{path}: holds round {metadata['round']}")
    del header["__metadata__"]
    arrays = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        arrays[name] = data[start:stop].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return State(number, arrays, json.loads(metadata["record"]))


def sweep(folder: Path) -> None:
    for path in folder.glob(f"{UNFINISHED}*"):
        path.unlink(missing_ok=True)


def _block(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype not in CODES:
        raise TypeError(f"{name} is of dtype {array.dtype}; kept are {', '.join(str(kind) for kind in CODES)}")
    if name == "__metadata__":
        raise TypeError("__metadata__ is no name for an array: the format has another use for it")
    return np.ascontiguousarray(array)


def _order(blocks: Mapping[str, NDArray[Any]]) -> list[str]:
    return sorted(blocks, key=lambda name: (-blocks[name].dtype.itemsize, name))


def _header(
    number: int, arrays: Mapping[str, NDArray[Any]], blocks: Mapping[str, NDArray[Any]], record: Mapping[str, Any]
) -> tuple[str, str]:
    """Everything but the digest, up to the end of the metadata and the rest of it.

    Arrays are named in the order in which they were given, and come back in it.
    """
    starts: dict[str, int] = {}
    end = 0
    for name in _order(blocks):
        starts[name] = end
        end += blocks[name].nbytes
    text = json.dumps(dict(record), default=_plain, separators=(",", ":"))
    metadata = {"kind": KIND, "format": str(FORMAT), "round": str(number), "record": text}
    entries: dict[str, Any] = {}
    for name, array in arrays.items():
        span = [starts[name], starts[name] + array.nbytes]
        entries[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape), "data_offsets": span}
    compact = json.JSONEncoder(separators=(",", ":")).encode
    listed = compact(entries)[1:-1]
    return f'{{"__metadata__":{compact(metadata)}', f",{listed}}}" if listed else "}"


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
        metadata = header["__metadata__"]
        kind, version = metadata["kind"], int(metadata["format"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(f"{path}: is damaged, or written by another program") from None
    if kind != KIND:
        raise Damaged(f"{path}: is written by another program")
    if version != FORMAT:
        raise CheckpointError(f"{path}: is of format {version}; this version reads format {FORMAT}")
    return dict(header)


def _digest(header: str, blocks: list[NDArray[Any]]) -> str:
    digest = blake2b(header.encode(), digest_size=32)
    for block in blocks:
        digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a record holds what JSON can say, found {type(value).__name__}")


def _sync(folder: Path) -> None:
    """Make the folder's new name for a file outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Encoding of messages to frames and back; pure, and safe against any input.

A message is one frame, or two where it has a payload::

    frame 1   "NV"  version byte  MessagePack map, its kind under "t"
    frame 2   the array's numbers, little-endian, nothing else

Sizes are checked against `Limits` before anything is allocated for them, and `decode` raises nothing but
`ProtocolError`, whatever it is given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from .errors import MessageTooLarge, ProtocolError
from .limits import allowed
from .messages import (
    BY_TAG,
    OLDEST,
    VERSION,
    Exchange,
    Failed,
    Heartbeat,
    Hello,
    Lane,
    Message,
    Payload,
    Refused,
    Task,
    Update,
    tag_of,
)
from .shared_memory.reference import REFERENCE_BYTES
from .versions import OURS, of_header

Frame = bytes | memoryview
Array = NDArray[Any]

MAGIC = b"NV"
SIGNATURE = MAGIC + bytes([VERSION])
_DTYPE = {name: np.dtype(name) for name in ("float32", "float64", "uint8")}
_NESTED = frozenset({dict, list})
_SWAP = sys.byteorder == "big"


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest messages that a node accepts, in bytes; decoding a header takes up to about 96 times its size."""

    control_bytes: int = allowed("control_bytes")
    header_bytes: int = allowed("header_bytes")
    message_bytes: int = allowed("message_bytes")
    request_bytes: int = allowed("request_bytes")
    subscriber_frame: int = allowed("subscriber_frame")


DEFAULT_LIMITS = Limits()

Shared = Callable[[bytes], memoryview]
"""Returns the bytes in shared memory to which a frame refers; raises ProtocolError where there are none."""

_SHARED_BYTES = allowed("shared_vector_bytes")

NUMBER = "n"
"""Under which a header has the message's number, among the fields of its class."""

_NUMBERED = msgpack.packb(NUMBER)
_MARKS = {2: 0xCC, 3: 0xCD, 5: 0xCE, 9: 0xCF}  # of MessagePack before an integer, by the size of both
_MAPS = [bytes((0x80 | entries,)) for entries in range(16)]
_PLAIN = frozenset({str, int, float, bool, type(None)})
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)

DEPTH = allowed("depth")
"""Maximum nesting of lists and maps; at about a thousand, Python's own recursion limit is reached."""


def encode(message: Message, array: Array | None = None, version: int = VERSION, number: int = 0) -> list[Frame]:
    """Return the frames of a message; the array's frame is a view of it, not a copy.

    Parameters
    ----------
    message : Message
    array : ndarray, shape (payload.length,), C-contiguous
        Required if ``message.payload`` is not None. It must not change until the frames have been delivered.
    version : int
        That its header names: another one for what tells a node of that version why it is not understood.
    number : int
        Counts the messages of a node; 0: none.

    Raises
    ------
    ValueError
        The array is not what the payload describes.
    """
    header = MAGIC + bytes((version,)) + _packed(message, number)
    payload: Payload | None = getattr(message, "payload", None)
    if payload is None:
        if array is not None:
            raise ValueError(f"{tag_of(message)} has no payload, yet an array of {array.shape} was given with it")
        return [header]
    if array is None or array.dtype != _DTYPE.get(payload.dtype) or array.shape != (payload.length,):
        found = "nothing" if array is None else f"{array.dtype.name} of shape {array.shape}"
        raise ValueError(
            f"{tag_of(message)} describes {payload.dtype} of shape ({payload.length},) and carries {found}"
        )
    if _SWAP:  # pragma: no cover
        array = array.byteswap()
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return [header, array.data.cast("B") if payload.length else b""]


def _packed(message: Message, number: int) -> bytes:
    """Return the map of a message, which ends with its number; the messages that are sent all the time at once."""
    if not number or not _is_flat(message):
        fields = msgspec.to_builtins(message, enc_hook=plain)
        by_maps: bytes = msgpack.packb(fields | {NUMBER: number} if number else fields)
        return by_maps
    packed: bytes = _ENCODER.encode(message)
    if packed[0] == 0xDE:  # and two bytes of how many entries there are, as it writes it where fields are left out
        entries, rest = int.from_bytes(packed[1:3], "big") + 1, packed[3:]
    else:
        entries, rest = (packed[0] & 0x0F) + 1, packed[1:]
    begun = _MAPS[entries] if entries < 16 else b"\xde" + entries.to_bytes(2, "big")
    return b"".join((begun, rest, _NUMBERED, _ENCODER.encode(number)))


def decode(frames: Sequence[Any], limits: Limits = DEFAULT_LIMITS) -> tuple[Message, Array | None]:
    """Return message and array of untrusted frames; see `decode_numbered`."""
    return decode_numbered(frames, limits)[:2]


def decode_numbered(
    frames: Sequence[Any], limits: Limits = DEFAULT_LIMITS, shared: Shared | None = None
) -> tuple[Message, Array | None, int]:
    """Return message, array and number of untrusted frames (bytes-like); 0: the message has no number.

    The array is a read-only view of the second frame, or of what that refers to, if ``shared`` is given.

    Raises
    ------
    ProtocolError
        ``malformed``, ``version`` or ``oversize``, with what was found and what is allowed.
    """
    if not 1 <= len(frames) <= 2:
        raise ProtocolError("malformed", f"{len(frames)} frames; a message has 1 or 2")
    header = bytes(frames[0])
    size = len(header)
    if size > limits.header_bytes:
        raise ProtocolError("oversize", f"a header of {size:,} bytes; {limits.header_bytes:,} are allowed")
    if header[:2] != MAGIC or size < 3:
        reason = f"not a nervenet message: it begins with {header[:8].hex(' ') or 'nothing'}"
        raise ProtocolError("malformed", reason)
    if OLDEST <= header[2] <= VERSION:
        message, number = _read_at_once(header) or _read(header)
    else:
        message, number = _introduction(header), 0
    if message.lane is Lane.CONTROL and size > limits.control_bytes:
        raise ProtocolError(
            "oversize", f"{tag_of(message)} of {size:,} bytes; control carries {limits.control_bytes:,}"
        )
    payload: Payload | None = getattr(message, "payload", None)
    if payload is None:
        if len(frames) == 2:
            raise ProtocolError("malformed", f"{tag_of(message)} without a payload brought a second frame")
        return message, None, number
    if len(frames) == 1:
        raise ProtocolError("malformed", f"{tag_of(message)} with a payload lacks its second frame")
    array = frames[1]
    if shared is not None and len(array) == REFERENCE_BYTES and nbytes_of(payload) >= _SHARED_BYTES:
        array = shared(array)
    return message, _view(message, payload, array, limits.message_bytes - size), number


def nbytes_of(payload: Payload) -> int:
    """Return the size of the array that a payload describes."""
    return payload.length * _DTYPE[payload.dtype].itemsize


def check_size(message: Message, frames: Sequence[Frame], limits: Limits = DEFAULT_LIMITS) -> int:
    """Return the size of an outgoing message in bytes; raise `MessageTooLarge` if a receiver would refuse it."""
    header = len(frames[0])
    size = sum(map(len, frames))
    if message.lane is Lane.CONTROL and size > limits.control_bytes:
        raise MessageTooLarge(tag_of(message), size, limits.control_bytes, "the control lane")
    if header > limits.header_bytes:
        raise MessageTooLarge(f"the header of {tag_of(message)}", header, limits.header_bytes, "the protocol")
    if size > limits.message_bytes:
        raise MessageTooLarge(tag_of(message), size, limits.message_bytes, "network.max_message_bytes")
    return size


def _read_at_once(header: bytes) -> tuple[Message, int] | None:
    """Return what `_read` would, in a tenth of the time, for a header as `encode` makes it; None: for that to decide.

    MessagePack becomes the message itself, without maps in between, once the number at its end is cut off and the map
    is said to have an entry less: it can only be read so if that was its last entry. What a message leaves open must
    be as flat as the settings of a task.
    """
    at = header.rfind(_NUMBERED, -11)  # followed by an integer of 9 bytes at the most
    number = _integer(header[at + len(_NUMBERED) :]) if at > 3 else None
    if number is None:
        return None
    entries = header[3] & 0x0F if header[3] & 0xF0 == 0x80 else 0
    if entries:
        counted = _MAPS[entries - 1] + header[4:at]
    elif header[3] == 0xDE and (entries := int.from_bytes(header[4:6], "big")):
        counted = b"\xde" + (entries - 1).to_bytes(2, "big") + header[6:at]
    else:
        return None
    try:
        message = _DECODER.decode(counted)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return (message, number) if _is_flat(message) else None


def _integer(encoded: bytes) -> int | None:
    """Return the positive integer that is all of some MessagePack, or None."""
    if len(encoded) == 1 and encoded[0] < 0x80:
        return encoded[0]
    if encoded and _MARKS.get(len(encoded)) == encoded[0]:
        return int.from_bytes(encoded[1:], "big")
    return None


def _is_flat(message: Message) -> bool:
    """Return whether a message of one of the kinds that are sent all the time holds no list or map of any content."""
    match message:
        case Task():
            return (
                message.agreement is None
                and message.question is UNSET
                and _PLAIN.issuperset(map(type, message.settings.values()))
            )
        case Update():
            return message.fields is None
        case Heartbeat() | Exchange():
            return True
        case _:
            return False


def _read(header: bytes) -> tuple[Message, int]:
    try:
        fields = msgpack.unpackb(memoryview(header)[3:], max_bin_len=0, max_ext_len=0, ext_hook=_no_extensions)
    except Exception as error:  # noqa: BLE001  msgpack raises many types of exception, all with the same meaning here
        raise ProtocolError("malformed", f"the header is not MessagePack: {_line(error)}") from None
    kind = fields.get("t") if type(fields) is dict else None
    cls = BY_TAG.get(kind) if type(kind) is str else None
    if cls is None:
        # Only a string is shown: the repr of a deeply nested value would exceed the recursion limit.
        shown = repr(kind[:80]) if type(kind) is str else type(kind).__name__
        raise ProtocolError("malformed", f"the header names no known kind of message: {shown}")
    if len(header) > DEPTH and not shallow(fields):  # each level takes at least a byte
        raise ProtocolError("malformed", f"{kind}: nested more than {DEPTH} deep")
    number = fields.pop(NUMBER, 0)
    if type(number) is not int or number < 0:
        raise ProtocolError("malformed", f"{kind}: its number is {number!r:.40}")
    try:
        message: Message = msgspec.convert(fields, cls)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ProtocolError("malformed", f"{kind}: {_line(error)}") from None
    if cls is Hello and "oldest" not in fields:
        silent = "its sender does not say which versions it speaks, as all later releases do"
        raise ProtocolError("version", f"{silent}; this node speaks {OURS}: upgrade nervenet there", header[2])
    return message, number


def _introduction(header: bytes) -> Message:
    """Return what nodes of all versions read, whatever its header names: introductions, and why one is refused."""
    try:
        message: Message | None = _read(header)[0]
    except ProtocolError:
        message = None
    if not isinstance(message, Hello | Refused | Failed):
        raise ProtocolError("version", of_header("the sender", header[2], "this node"), header[2])
    return message


def shallow(value: Any, depth: int = DEPTH) -> bool:
    """Return whether no list or map is nested more than ``depth`` deep in a value."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return True
    if depth == 0:
        return False
    if _NESTED.isdisjoint(map(type, value.values() if kind is dict else value)):
        return True
    for each in value.values() if kind is dict else value:
        if (type(each) is dict or type(each) is list) and not shallow(each, depth - 1):
            return False
    return True


def _view(message: Message, payload: Payload, frame: Any, limit: int) -> Array:
    size = len(frame)
    if size > limit:
        raise ProtocolError("oversize", f"{tag_of(message)} with {size:,} bytes of array; {limit:,} are allowed")
    dtype = _DTYPE[payload.dtype]
    if size != nbytes_of(payload):
        raise ProtocolError("malformed", f"{payload.length:,} {payload.dtype} announced, {size:,} bytes received")
    array = np.frombuffer(frame, dtype=dtype)
    if type(frame) is bytes and not _SWAP:  # whose numbers are aligned, and which nobody can write to
        return array
    if _SWAP:  # pragma: no cover
        array = array.byteswap()
    if not array.flags.aligned:  # small frames lie in the middle of ZeroMQ's buffer
        array = array.copy()
    array.flags.writeable = False
    return array


def plain(value: Any) -> Any:
    """Return the Python number of a NumPy one, as a hook for encoders."""
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=plain)


def _no_extensions(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__

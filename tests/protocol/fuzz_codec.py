"""Coverage-guided fuzzing of the codec, for hours rather than for the suite, which only replays what was found.

    pip install atheris
    python tests/protocol/fuzz_codec.py corpus -max_total_time=3600

Every input is one message or one event, as it would come out of a socket. ``corpus`` is a folder that the fuzzer fills.
What is wrong with an input is raised, and the fuzzer then writes the input down and ends. Beside this file, corpus/
keeps, as hexadecimal text, the inputs of an hour (3,118,660 of them, 604 of which reached something new) that take a
branch, or are refused for a reason, that no shorter one does.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

Frames = list[bytes]
MESSAGE, EVENT = b"M", b"E"


def pack(kind: bytes, frames: Frames) -> bytes:
    """Return one input: its kind, then each frame but the last one after its length in three bytes."""
    return kind + b"".join(len(frame).to_bytes(3, "big") + frame for frame in frames[:-1]) + b"".join(frames[-1:])


def unpack(data: bytes) -> tuple[bytes, Frames]:
    """Return what `pack` was given, for two frames; any bytes are an input."""
    kind, rest = (data[:1], data[1:]) if data[:1] in (MESSAGE, EVENT) else (MESSAGE, data)
    size = int.from_bytes(rest[:3], "big")
    if len(rest) < 3 or size > len(rest) - 3:
        return kind, [rest]
    return kind, [rest[3 : 3 + size], rest[3 + size :]] if len(rest) > 3 + size else [rest[3:]]


def check(data: bytes) -> str:
    """Read one input as a node would and return what became of it: ``taken``, or the code of the `ProtocolError`.

    Raises
    ------
    AssertionError
        What was taken cannot be written again, or reads differently the second time.
    """
    from mutants import LIMITS
    from nervenet.broker.codec import decode, encode
    from nervenet.broker.errors import ProtocolError
    from nervenet.broker.events import decode_event

    kind, frames = unpack(data)
    try:
        if kind == EVENT:
            json.dumps(decode_event(frames, LIMITS.header_bytes), allow_nan=False)
            return "taken"
        read = decode(frames, LIMITS)
    except ProtocolError as error:
        if "\n" in error.reason or len(error.reason) >= 400:
            raise AssertionError(error.reason) from None
        return error.code
    again = [bytes(frame) for frame in encode(*read)]
    assert repr(decode(again, LIMITS)) == repr(read).replace("b''", "''")
    return "taken"


def seeds() -> list[bytes]:
    """Return one input for each kind of message, and an event."""
    import msgpack
    from mutants import EVENT as EXAMPLE
    from mutants import GOLDEN
    from nervenet.broker.codec import SIGNATURE

    example = [EXAMPLE["type"].encode(), SIGNATURE + msgpack.packb(EXAMPLE)]
    return [*(pack(MESSAGE, frames) for frames in GOLDEN), pack(EVENT, example)]


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["nervenet.broker", "msgpack", "json"]):
        import nervenet.broker.codec
        import nervenet.broker.events  # noqa: F401
    import mutants

    atheris.instrument_func(check)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        """Mutate frames and fields three times of four, as `mutants` does, and bytes otherwise."""
        draw = random.Random(seed)
        if draw.random() < 0.25:
            return bytes(atheris.Mutate(data, most))
        kind, frames = unpack(data)
        if not frames[0].startswith(b"NV") or kind == EVENT:
            frames = frames if kind == EVENT else draw.choice(mutants.GOLDEN)
        try:
            mutant = (
                [frames[0], mutants.mutate_fields(frames[-1], draw)] if kind == EVENT else mutants.mutate(frames, draw)
            )
        except Exception:  # noqa: BLE001  what cannot be read cannot be mutated by fields
            return bytes(atheris.Mutate(data, most))
        return pack(kind, mutant[:2])[:most]

    folder = next((Path(word) for word in sys.argv[1:] if not word.startswith("-")), None)
    if folder is not None and not any(word.startswith("-merge") for word in sys.argv):
        folder.mkdir(parents=True, exist_ok=True)
        for at, seed in enumerate(seeds()):
            (folder / f"seed-{at:02}").write_bytes(seed)
    atheris.Setup([*sys.argv, "-max_len=20000"], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

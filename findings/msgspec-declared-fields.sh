#!/bin/sh
# msgspec 0.23.0: the bytes of a Struct with `omit_defaults`, as its class gets one more field with a default.
#
# Guess: a message that lacks the new field stays as it was to the byte, and is what msgpack makes of the same map; so
#        with UNSET, and surely with `order="deterministic"`.
# Seen:  the map's header is chosen by how many fields the class declares, not by how many are written. From the sixteenth on
#        a map of one entry begins with de 00 01 in place of 81: two bytes more, and another digest, of each message of
#        that class, though none of them uses the field. The same content as a dict keeps 81: whoever signs what was
#        written by one side, and compares it with what the other side writes of it again, finds a forgery.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet msgspec==0.23.0 msgpack==1.2.1
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import hashlib

import msgpack
import msgspec

print("msgspec", msgspec.__version__, "msgpack", ".".join(map(str, msgpack.version)))


def message(fields, kind, default, **options):
    later = [(f"field_{number}", kind, default) for number in range(1, fields)]
    return msgspec.defstruct("Update", [("round", int), *later], **options)(7)


content = {"round": 7}
plain = msgpack.packb(content)
assert msgspec.msgpack.encode(content, order="deterministic") == plain
seen = {}
for fields in (1, 15, 16, 40):
    for name, made in (
        ("omit_defaults", message(fields, int, 0, omit_defaults=True)),
        ("UNSET", message(fields, int | msgspec.UnsetType, msgspec.UNSET)),
    ):
        written = msgspec.msgpack.encode(made, order="deterministic")
        assert msgpack.unpackb(written) == content and msgspec.json.encode(made) == b'{"round":7}'
        seen[name, fields] = written
        print(f"{fields:>2} fields declared, {name}: {written.hex(' ')}, {hashlib.sha256(written).hexdigest()[:8]}")
for (name, fields), written in seen.items():
    if (written == plain) != (fields < 16):
        raise SystemExit("changed: the header of a map depends on what is written")
PYTHON

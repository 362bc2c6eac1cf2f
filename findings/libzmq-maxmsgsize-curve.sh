#!/bin/sh
# pyzmq 27.3.0 with libzmq 4.3.5: a listening socket with MAXMSGSIZE, messages of 16 bytes, with and without CURVE.
#
# Guess: MAXMSGSIZE bounds messages: a socket that takes 16 bytes at a time may be given 64 or 256 as a limit.
# Seen:  so it is without encryption. With CURVE nothing ever gets through below 300 bytes: the limit is held against
#        ZMTP's own handshake, too, whose INITIATE command has 257 bytes and the metadata. The dialing side is told
#        nothing, its send succeeds, and it tries again for ever; the same sockets without keys work. So a limit that
#        was chosen by the messages alone shuts everybody out on the day that keys are added.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyzmq==27.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import zmq

print("pyzmq", zmq.__version__, "libzmq", zmq.zmq_version())


def arrives(limit, curve, listening, dialing):
    context = zmq.Context()
    server, client = context.socket(listening), context.socket(dialing)
    if limit:
        server.setsockopt(zmq.MAXMSGSIZE, limit)
    if curve:
        public, secret = zmq.curve_keypair()
        server.curve_server, server.curve_secretkey = True, secret
        client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
        client.curve_serverkey = public
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    if dialing == zmq.SUB:
        client.subscribe(b"x" * 16)
    else:
        client.send(b"x" * 16)
    came = bool(server.poll(3_000))
    context.destroy(linger=0)
    return came


LIMITS = (64, 256, 512, None)
found = {}
for listening, dialing, name in ((zmq.PULL, zmq.PUSH, "PUSH to PULL"), (zmq.XPUB, zmq.SUB, "SUB to XPUB")):
    for curve in (False, True):
        found[name, curve] = [arrives(limit, curve, listening, dialing) for limit in LIMITS]
        words = ", ".join(f"{limit or 'none'}: {'arrives' if came else 'never'}" for limit, came in zip(LIMITS, found[name, curve]))
        print(f"{name}, {'CURVE' if curve else 'plain'}, MAXMSGSIZE {words}")
assert all(all(came) for (_, curve), came in found.items() if not curve)
if any(came != [False, False, True, True] for (_, curve), came in found.items() if curve):
    raise SystemExit("changed: MAXMSGSIZE is held against a handshake in another way")
PYTHON

#!/bin/sh
# pyzmq 27.3.0 with libzmq 4.3.5: PUSH to PULL over inproc, SNDHWM and RCVHWM of 10, and nobody receives for a while.
#
# Guess: a send that would block has room again as soon as the receiver has taken one message: a high water mark is a
#        bounded queue's size.
# Seen:  20 fit, the sum of both marks. Then nothing does, and POLLOUT is not raised, until ten have been taken: a
#        pipe tells its sender of what was read once in half its mark. With the default marks of 1,000 a full pipe
#        takes 1,000 reads before it takes one message more, and then 1,000 at once: a sender that goes by EAGAIN or
#        POLLOUT sends in bursts, and a receiver that falls behind finds the newest half a queue late.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyzmq==27.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import zmq

print("pyzmq", zmq.__version__, "libzmq", zmq.zmq_version())
context = zmq.Context()


def fill(sender):
    sent = 0
    while sender.poll(0, zmq.POLLOUT):
        sender.send(b"", zmq.NOBLOCK)
        sent += 1
    return sent


def reads_until_room(mark):
    with context.socket(zmq.PUSH) as sender, context.socket(zmq.PULL) as receiver:
        if mark:
            sender.sndhwm = receiver.rcvhwm = mark
        address = f"inproc://marks-of-{mark}"
        receiver.bind(address)
        sender.connect(address)
        fitted, reads = fill(sender), 0
        while not sender.poll(0, zmq.POLLOUT):
            receiver.recv(zmq.NOBLOCK)
            reads += 1
        return fitted, reads, fill(sender)


found = {}
for mark in (10, 100, None):
    found[mark] = reads_until_room(mark)
    fitted, reads, more = found[mark]
    print(f"marks of {mark or 'the default, 1,000'}: {fitted} fit; {reads} reads until there is room, then {more} fit")
context.term()
if any(reads == 1 for _, reads, _ in found.values()):
    raise SystemExit("changed: one message that is taken makes room for one")
assert all(fitted == 2 * (mark or 1000) and 2 * reads >= fitted for mark, (fitted, reads, _) in found.items())
PYTHON

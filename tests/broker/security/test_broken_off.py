"""A listening socket of a node with keys: which handshakes that came to nothing are told as refusals."""

import errno

import pytest
import zmq
from nervenet.broker.disconnects import _failure

NO_DETAIL = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.EPIPE, 0])
def test_who_is_gone_in_the_midst_of_it_was_not_refused(number: int) -> None:
    assert _failure(NO_DETAIL, number) == ""


@pytest.mark.parametrize(
    ("event", "value", "reason"),
    [
        (NO_DETAIL, errno.EAGAIN, "has not proven a key in time"),
        (PROTOCOL, int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC), "encrypts for another key than this node's"),
        (PROTOCOL, int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH), "broke off the handshake: does not encrypt"),
    ],
)
def test_who_has_no_key_or_another_is(event: int, value: int, reason: str) -> None:
    assert _failure(event, value).startswith(reason)

"""Which addresses of a Dask cluster leave this machine unencrypted."""

import pytest
from nervenet.nodes.launching.placement.link import host_of, is_within, readable


@pytest.mark.parametrize(
    ("address", "host", "within", "readable_"),
    [
        ("tcp://127.0.0.1:8786", "127.0.0.1", True, False),
        ("tcp://[::1]:8786", "::1", True, False),
        ("tcp://localhost:8786", "localhost", True, False),
        ("inproc://192.0.2.7/12/3", "192.0.2.7/12/3", True, False),
        ("tcp://192.0.2.7:8786", "192.0.2.7", False, True),
        ("tcp://scheduler:8786", "scheduler", False, True),
        ("ucx://192.0.2.7:8786", "192.0.2.7", False, True),
        ("ws://192.0.2.7:8786", "192.0.2.7", False, True),
        ("tls://192.0.2.7:8786", "192.0.2.7", False, False),
        ("tls://[2001:db8::7]:8786", "2001:db8::7", False, False),
    ],
)
def test_addresses(address: str, host: str, within: bool, readable_: bool) -> None:
    assert host_of(address) == host
    assert is_within(address) == within
    assert readable([address]) == [address] * readable_

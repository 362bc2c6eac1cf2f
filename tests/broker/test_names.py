"""What `nervenet.broker` offers, and what it costs to ask."""

from __future__ import annotations

import doctest
import subprocess
import sys

import nervenet.broker
import nervenet.broker.testing
import pytest


def test_the_example_of_the_testing_package_runs():
    assert doctest.testmod(nervenet.broker.testing).failed == 0


def test_every_public_name_is_there():
    for name in nervenet.broker.__all__:
        assert getattr(nervenet.broker, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        _ = nervenet.broker.Nobody


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("nervenet.broker", ["zmq", "numpy", "asyncio"]),
        ("nervenet.broker.testing", ["zmq", "nervenet.broker.broker"]),
        ("nervenet.broker.directory", ["zmq", "asyncio", "numpy"]),
        ("nervenet.broker.codec", ["zmq", "asyncio"]),
        ("nervenet.broker.lease", ["nervenet.broker.broker", "nervenet.broker.directory"]),
    ],
)
def test_a_module_loads_no_more_than_it_needs(module, spared):
    program = f"import {module}, sys; print([name for name in {spared} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

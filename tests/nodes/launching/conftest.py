"""What is launched here need not import anything."""

import contextlib
from collections.abc import Iterator

import pytest

from ... import warm


@pytest.fixture
def warm_launches(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fork servers that launchers start in this process are warm (see `warm`), for a test that may start any."""
    starts = request.node.get_closest_marker("e2e") is not None
    with warm.warm_fork_servers() if starts else contextlib.nullcontext():
        yield

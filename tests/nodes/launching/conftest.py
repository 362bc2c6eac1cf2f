"""What is launched here need not import anything."""

from collections.abc import Iterator

import pytest

from ... import warm


@pytest.fixture
def warm_launches() -> Iterator[None]:
    """Fork servers that launchers start in this process are warm (see `warm`)."""
    with warm.warm_fork_servers():
        yield

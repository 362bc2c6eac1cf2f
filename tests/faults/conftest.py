"""Fixtures of the runs on virtual time; see `fleet`."""

import pytest
from fleet import Federation, Gossip, Trouble
from hypothesis import settings

# Chosen by the environment variable NERVENET_FAULTS; not loaded for all, so that no other test is changed by it.
settings.register_profile("faults", deadline=None, derandomize=True, max_examples=150, print_blob=True)
settings.register_profile("heavy", deadline=None, derandomize=False, max_examples=3000, print_blob=True)


@pytest.fixture(scope="session")
def federation() -> type[Federation]:
    """Return the class `Federation`."""
    return Federation


@pytest.fixture(scope="session")
def gossip() -> type[Gossip]:
    """Return the class `Gossip`."""
    return Gossip


@pytest.fixture(scope="session")
def trouble() -> type[Trouble]:
    """Return the class `Trouble`."""
    return Trouble

"""Models to ask, and what asks them."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.models.agreement.questions import settle
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_statistics import agree
from nervenet.models.tables.table import DATES, GAP, Table

COLUMNS = ("sepal length", "sepal width", "petal length")
TABLE = Table(
    ("age", "ward", "day"),
    ("number", "category", "date"),
    (
        np.array([50.0, GAP, 70.0, 40.0]),
        np.array(["eye", "ear", GAP, "eye"], object),
        np.array(["2026-01-31", "2026-02-01", "NaT", "2026-03-01"], DATES),
    ),
)


def trained(y: np.ndarray[Any, Any]) -> SiteModel:
    X = np.random.default_rng(0).normal(size=(60, 3)) + np.arange(60)[:, None] % 3 * 5
    site_model = SiteModel(MLP(hidden=(8,)), X, y, columns=COLUMNS)
    site_model.build(agree({"a": site_model.statistics()}), seed=0)
    site_model.train(LocalWork(epochs=20), generator(0, "batches"), lambda: False)
    return site_model


def calling(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


@pytest.fixture(scope="session")
def numbers() -> SiteModel:
    """A classifier of three columns of numbers, with the classes 7, 8 and 9."""
    return trained(np.arange(60) % 3 + 7)


@pytest.fixture(scope="session")
def texts() -> SiteModel:
    return trained(np.array(["a", "b,", 'c"'])[np.arange(60) % 3])


@pytest.fixture(scope="session")
def quantities() -> SiteModel:
    return trained(np.arange(60) % 3 * 100.5)


@pytest.fixture(scope="session")
def table() -> SiteModel:
    """A classifier of a table with a number, a category and a date, any of which may be a gap."""
    site = SiteModel(MLP(hidden=(4,)), TABLE, np.array(["good", "poor", "poor", "good"]))
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, seed=0)
    return site

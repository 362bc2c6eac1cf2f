"""A simulation comes to the bits of real processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes import launch
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.run_result import RunResult

Simulate = Callable[..., Awaitable[RunResult]]

ALL = {"algorithm": "all-reduce", "topology": "complete"}
REGIONS = {"hierarchy": {"regions": 2, "region_rounds": 2}}
CALM = {"network": {"suspect_after_s": 20.0}, "evaluation": {"baseline": False}}


@pytest.mark.e2e
@pytest.mark.usefixtures("warm_launches")
@pytest.mark.parametrize(
    ("mode", "further"), [("federated", {}), ("federated", REGIONS), ("gossip", {}), ("gossip", {"gossip": ALL})]
)
async def test_it_has_the_bits_of_a_launch(
    mode: str, further: dict[str, Any], simulated: Simulate, tmp_path: Path
) -> None:
    tables = {"mode": mode, **further, "nodes": 5, "rounds": 4, "data": {"name": "iris"}, **CALM}
    real = await launch(Experiment.from_dict(tables), out=tmp_path / "real")
    assert real["undisturbed"]
    for engine in ("machines", "auto"):
        result = await simulated(out=engine, **tables, simulation={"engine": engine})
        assert set(result["by_node"]) == set(real["by_node"])
        assert result.get("regions") == real.get("regions")
        assert result.weights.tobytes() == real.weights.tobytes()
        assert {name: peer.tobytes() for name, peer in result.peers.items()} == {
            name: peer.tobytes() for name, peer in real.peers.items()
        }

"""What the projections of their weights tell of peers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.weights import sketch
from nervenet.nodes.monitoring.clusters import MOST, find_clusters


def around(*centers: float, each: int = 4, size: int = 5000) -> dict[str, list[float]]:
    """Projections of peers whose weights lie closely around points."""
    rng = np.random.default_rng(0)
    found = {}
    for center in centers:
        for _ in range(each):
            found[f"peer-{len(found)}"] = sketch(center + 0.01 * rng.standard_normal(size), 7)
    return found


def test_peers_that_agree_are_one_group_whatever_their_distance() -> None:
    rng = np.random.default_rng(1)
    for scale in (1e-6, 1.0, 1e3):
        weights = {f"peer-{i}": scale * rng.standard_normal(5000) for i in range(8)}
        seen = find_clusters({name: sketch(vector, 7) for name, vector in weights.items()})
        assert seen is not None
        mean = np.mean(list(weights.values()), axis=0)
        truth = np.sqrt(np.mean([np.sum((vector - mean) ** 2) for vector in weights.values()]))
        assert seen.distance == pytest.approx(truth, rel=0.2)
        assert (len(seen.clusters), seen.outliers) == (1, ())


def test_two_halves_of_a_partition_are_two_clusters() -> None:
    seen = find_clusters(around(0.0, 1.0))
    assert seen is not None
    assert seen.clusters == (("peer-0", "peer-1", "peer-2", "peer-3"), ("peer-4", "peer-5", "peer-6", "peer-7"))
    assert seen.outliers == ()


def test_one_that_is_far_from_all_is_named() -> None:
    seen = find_clusters(around(0.0) | {"stray": around(1.0, each=1)["peer-0"]})
    assert seen is not None
    assert (seen.clusters, seen.outliers) == ((("peer-0", "peer-1", "peer-2", "peer-3"),), ("stray",))


def test_one_peer_has_no_clusters_and_very_many_only_a_distance() -> None:
    assert find_clusters({"peer-0": [1.0, 2.0]}) is None
    many = {f"peer-{i}": [float(i > MOST), 0.0] for i in range(MOST + 2)}
    seen = find_clusters(many)
    assert seen is not None
    assert (seen.clusters, seen.outliers) == ((), ())  # nobody has looked, so nobody says that they are one
    assert seen.distance == pytest.approx(np.std([vector[0] for vector in many.values()]))


def test_a_group_of_256_that_is_far_from_the_others_is_found() -> None:
    rng = np.random.default_rng(3)
    points = {f"peer-{i:03}": list(3.0 * (i >= 230) + 0.1 * rng.standard_normal(16)) for i in range(256)}
    seen = find_clusters(points)
    assert seen is not None
    assert [len(group) for group in seen.clusters] == [230, 26]


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.lists(st.integers(-5, 5), min_size=3, max_size=3), min_size=2)
)
def test_everybody_stands_somewhere_once(projections: dict[str, list[float]]) -> None:
    seen = find_clusters(projections)
    assert seen is not None
    assert sorted([*seen.outliers, *(name for group in seen.clusters for name in group)]) == sorted(projections)

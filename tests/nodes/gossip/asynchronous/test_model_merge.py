"""Merging models that walk: by age, in whole or in part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.weights import BLOCK, IncompatibleWeights
from nervenet.nodes.gossip.asynchronous.gossip_learning import RECIPES, Act, WalkingModel, useful
from nervenet.nodes.gossip.asynchronous.model_merge import (
    RULES,
    WHOLE,
    Part,
    ages_after,
    by_age,
    layered,
    merged,
    sampled,
    strided,
    taken,
)


def test_each_weighs_its_age() -> None:
    assert by_age(1, 3) == (0.25, 0.75)
    assert by_age(0, 5) == (0.0, 1.0), "what has learned nothing counts for nothing"
    assert by_age(0, 0) == (0.5, 0.5)
    assert RULES["mean"](1, 1000) == (0.5, 0.5)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_weights_sum_to_one_and_sides_may_be_swapped(a: int, b: int) -> None:
    mine, theirs = by_age(a, b)
    assert mine + theirs == pytest.approx(1, abs=1e-15)
    assert by_age(b, a) == (theirs, mine)


@pytest.mark.parametrize("size", [6, BLOCK + 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_whole_model_is_the_weighted_sum_and_neither_side_is_changed(size: int, dtype: str) -> None:
    mine, theirs = np.arange(size).astype(dtype), np.ones(size, dtype)
    found = merged(mine, theirs, (0.25, 0.75))
    np.testing.assert_allclose(found, 0.25 * np.arange(size) + 0.75, rtol=1e-6)
    assert found.dtype == dtype
    assert (mine == np.arange(size)).all()
    assert (theirs == 1).all()


@pytest.mark.parametrize("parts", [strided(3), layered((4, 1, 5)), (Part(sample=(7, 4, 10)),)])
def test_only_the_part_is_merged(parts: tuple[Part, ...]) -> None:
    for part in parts:
        mine, other = np.arange(10.0), 100 + np.arange(10.0)
        theirs = taken(other, part)
        assert len(theirs) == part.length(10)
        found = merged(mine, theirs, (0.5, 0.5), part)
        inside = np.zeros(10, bool)
        inside[part.where] = True
        np.testing.assert_array_equal(found[inside], (mine + 50)[inside])
        np.testing.assert_array_equal(found[~inside], mine[~inside])


@given(st.integers(1, 8), st.integers(8, 40))
def test_the_parts_of_a_model_are_the_model(count: int, size: int) -> None:
    for parts in (strided(count), layered([size // count] * count)):
        seen = np.concatenate([np.arange(size)[part.where] for part in parts])
        assert len(set(seen.tolist())) == len(seen)
        assert len(seen) == (size if parts == strided(count) else count * (size // count))
        assert sum(part.length(size) for part in parts) == len(seen)


def test_a_sample_is_what_its_seed_says() -> None:
    assert (sampled(5, 4, 10) == sampled(5, 4, 10)).all()
    assert not all((sampled(5, 4, 10) == sampled(k, 4, 10)).all() for k in range(6, 12))
    assert len(set(sampled(5, 4, 10).tolist())) == 4


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(IncompatibleWeights, match=r"shape \(3,\), expected \(4,\)"):
        merged(np.zeros(4), np.zeros(3), (0.5, 0.5))
    with pytest.raises(IncompatibleWeights, match="dtype float32"):
        merged(np.zeros(4), np.zeros(4, np.float32), (0.5, 0.5))
    with pytest.raises(ValueError, match="at least 1 part"):
        strided(0)


def test_a_merged_part_is_as_old_as_the_older_and_the_others_keep_their_age() -> None:
    assert ages_after((3, 9, 2), 0, 7) == (7, 9, 2)
    assert ages_after((3, 9, 2), 1, 7) == (3, 9, 2)
    model = WalkingModel("w", (3, 9)).with_merged("m", 0, 7)
    assert (model.ages, model.age) == ((7, 9), 9)
    assert model.updated("u", 2).ages == (9, 11), "all parts have learned"


def test_variants_are_those_of_the_paper() -> None:
    assert RECIPES["rw"] == (Act.UPDATE,)
    assert RECIPES["mu"] == (Act.MERGE, Act.UPDATE)
    assert RECIPES["um"] == (Act.UPDATE, Act.UPDATE_OTHER, Act.MERGE)
    assert useful(3, 3)
    assert not useful(4, 3)
    assert WHOLE.length(7) == 7

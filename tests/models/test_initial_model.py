"""A saved model is the start of a run, with weights, scales and clock, where it fits; else it is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.artifact import ModelFileError, SavedModel, digest_of, read_extra, read_model, save_model
from nervenet.models.datasets import load
from nervenet.models.initial_model import UnsuitableStart, check_model, check_sites, start_from
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.pegasos import Pegasos
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree

IRIS = load("iris")
LABELS = tuple(np.unique(IRIS.y).tolist())


def site(model: object, rows: Any = slice(None), columns: Any = IRIS.columns) -> SiteModel:
    return SiteModel(model, IRIS.X[rows], IRIS.y[rows], columns=columns)


def trained(model: object, rows: Any = slice(None)) -> SiteModel:
    one = site(model, rows)
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=2), generator(0))
    return one


def saved(folder: Path, model: object, rows: Any = slice(None)) -> SavedModel:
    save_model(folder, trained(model, rows))
    return read_model(folder)


def started(start: SavedModel, model: object, rows: Any = slice(None)) -> SiteModel:
    one = site(model, rows)
    start_from(start, one, agree({"only": one.statistics()}), "standard", 7)
    return one


TWO = IRIS.y != LABELS[-1]  # rows of two classes, for models that know no more


def test_weights_scales_and_clock_go_on(tmp_path: Path) -> None:
    start = saved(tmp_path, Pegasos(), TWO)
    one = started(start, Pegasos(), np.flatnonzero(TWO)[::3])
    assert np.array_equal(one.get_weights(), start.weights)
    assert one.preprocessing == start.preprocessing
    assert one.clock == start.clock > 0


def test_saved_without_its_facts_it_would_start_its_schedule_anew(tmp_path: Path) -> None:
    one = trained(Pegasos(), TWO)
    save_model(tmp_path, one.model, one.preprocessing)  # as all were saved
    assert started(read_model(tmp_path), Pegasos(), TWO).clock == 0.0 < one.clock


def test_a_model_without_a_schedule_says_nothing_of_a_clock(tmp_path: Path) -> None:
    assert saved(tmp_path, MLP((4,))).clock == 0.0
    assert read_extra(tmp_path) == {}


def test_columns_in_another_order_and_fewer_classes_fit(tmp_path: Path) -> None:
    start = saved(tmp_path, MLP((4,)))
    turned = SiteModel(MLP((4,)), IRIS.X[TWO][:, ::-1], IRIS.y[TWO], columns=IRIS.columns[::-1])
    start_from(start, turned, agree({"only": turned.statistics()}), "standard", 7)
    assert turned.preprocessing.columns == tuple(IRIS.columns)
    assert turned.preprocessing.n_classes == 3


@pytest.mark.parametrize(
    ("columns", "classes", "scale", "words"),
    [
        (("a", *IRIS.columns[1:]), LABELS, "standard", ["4 columns", f"lack {IRIS.columns[0]} and add a"]),
        (IRIS.columns, (*LABELS, "thistle"), "standard", ["knows the classes", "also have thistle"]),
        (IRIS.columns, None, "standard", ["for classification", "data for regression"]),
        (IRIS.columns, LABELS, "none", ["data.scale = 'none'", "'standard'"]),
    ],
)
def test_sites_that_it_does_not_fit_are_refused_by_name(
    tmp_path: Path, columns: Any, classes: Any, scale: str, words: list[str]
) -> None:
    start = saved(tmp_path, MLP((4,)))
    check_sites(start, IRIS.columns, LABELS, "standard")
    with pytest.raises(UnsuitableStart) as caught:
        check_sites(start, columns, classes, scale)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("other", [MLP((5,)), MLP((4,), dtype="float64"), MLP((4,), activation="tanh")])
def test_another_model_is_refused_with_what_both_are(tmp_path: Path, other: Any) -> None:
    start = saved(tmp_path, MLP((4,)))
    with pytest.raises(UnsuitableStart, match=r"is mlp of float32 .*relu.*; this run's model is mlp"):
        check_model(start, other)
    check_model(start, MLP((4,), learning_rate=0.3))  # how it learns may differ


def test_by_the_layout_alone_another_activation_would_pass(tmp_path: Path) -> None:
    start, other = saved(tmp_path, MLP((4,))), MLP((4,), activation="tanh")
    assert other.build(4, 3, generator(0)).hash == start.layout.hash


def test_copies_are_alike_and_other_models_are_not(tmp_path: Path) -> None:
    for name, width in (("a", 4), ("b", 4), ("c", 5)):
        saved(tmp_path / name, MLP((width,)))
    one, same, other = (digest_of(tmp_path / name) for name in "abc")
    assert one == same != other


@pytest.mark.parametrize("clock", [-1, "soon", [3]])
def test_a_clock_that_is_none_is_refused_by_name(tmp_path: Path, clock: object) -> None:
    save_model(tmp_path, trained(MLP((4,))), extra={"clock": clock})
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(tmp_path)

"""What a data set is for is decided once, whatever kind of file holds it; what the model cannot learn is refused."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.data.written import Written
from nervenet.nodes.config.factory import build_model
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import hosted_node, standalone
from nervenet.nodes.launching.data_shares import DataShares, divide, load_for
from nervenet.nodes.launching.jobs import data_job
from nervenet.nodes.launching.regions.placed import Placed
from nervenet.nodes.launching.shared_rows import unpack_rows

SGD = "sklearn.linear_model.SGD"


def write(folder: Path, y: Any) -> dict[str, Path]:
    """The same rows as .npz and as .csv."""
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    np.savez(folder / "a.npz", X=X, y=y)
    lines = [f"{first!r},{second!r},{target}" for (first, second), target in zip(X.tolist(), y.tolist(), strict=True)]
    (folder / "a.csv").write_text("\n".join(["x1,x2,label", *lines]))
    return {kind: folder / f"a.{kind}" for kind in ("npz", "csv")}


def loaded(path: object, model: str = "mlp", task: str | None = None) -> Any:
    tables: dict[str, Any] = {"data": {"name": str(path)}, "model": {"name": model}}
    if task:
        tables["data"]["task"] = task
    experiment = Experiment.from_dict(tables)
    return load_for(build_model(experiment), experiment)


CODES = np.arange(120) % 60


@pytest.mark.parametrize("kind", ["npz", "csv"])
@pytest.mark.parametrize(
    ("y", "model", "task", "found"),
    [
        (np.arange(40) % 2 * 1.0, "mlp", None, "classification"),
        (np.arange(40) % 2, "mlp", None, "classification"),
        (np.arange(40) / 4, "mlp", None, "regression"),
        (CODES, "mlp", None, "regression"),
        (CODES * 1.0, f"{SGD}Classifier", None, "classification"),
        (CODES, "mlp", "classification", "classification"),
        (np.arange(40) % 2, "mlp", "regression", "regression"),
        (np.arange(40) % 2, f"{SGD}Regressor", None, "regression"),
    ],
)
def test_the_same_rows_are_the_same_task_in_every_kind_of_file(
    tmp_path: Path, kind: str, y: Any, model: str, task: str | None, found: str
) -> None:
    dataset = loaded(write(tmp_path, y)[kind], model, task)
    assert dataset.task == found
    assert dataset.y.dtype == (np.int64 if found == "classification" else np.float64)


def test_by_the_type_that_a_file_stores_they_would_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_type(y: Any) -> str:
        return "regression" if y.dtype.kind == "f" else "classification"

    monkeypatch.setattr("nervenet.models.tables.load.infer_task", by_type)
    files = write(tmp_path, np.arange(40) % 2 * 1.0)
    assert {kind: loaded(path).task for kind, path in files.items()} == {"csv": "classification", "npz": "regression"}


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_targets_that_the_model_cannot_learn_are_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    text = write(tmp_path, np.array(["no", "yes"] * 10))[kind]
    with pytest.raises(DataError, match=r"model.name: SGDRegressor is a regressor, but the target is a class: .*'no'"):
        loaded(text, f"{SGD}Regressor")
    quantity = write(tmp_path, np.arange(40) / 4)[kind]
    with pytest.raises(DataError, match=r"model.name: SGDClassifier is a classifier, .* a number: found 0.25"):
        loaded(quantity, f"{SGD}Classifier")
    with pytest.raises(DataError, match=r"data.task = 'regression': .*SGDClassifier is for classification alone"):
        loaded(quantity, f"{SGD}Classifier", "regression")


def test_packaged_quantities_are_no_labels() -> None:
    with pytest.raises(DataError, match=r"model.name: SGDClassifier is a classifier, .*diabetes is a quantity"):
        loaded("diabetes", f"{SGD}Classifier")
    assert loaded("digits", f"{SGD}Regressor").task == "regression"


# Sites with files of their own


def sites(folder: Path, **texts: str) -> Experiment:
    files = {site: folder / f"{site}.csv" for site in texts}
    for site, text in texts.items():
        files[site].write_text(text)
    return Experiment.from_dict({"data": {"sites": [str(path) for path in files.values()]}})


def mixed(rows: int, first: int, columns: str = "age,ward,y") -> str:
    cells = [{"age": row if row % 5 else "", "ward": "ab"[row % 2], "y": row % 2} for row in range(first, first + rows)]
    return "\n".join([columns, *(",".join(str(row[name]) for name in columns.split(",")) for row in cells)])


def unpacked(shares: DataShares) -> dict[str, tuple[Any, Any]]:
    return dict(
        zip(
            ("north", "south"),
            [unpack_rows(os.dup(node), shares.columns, shares.kinds)[0][0] for node in shares.nodes],
            strict=True,
        )
    )


def test_each_site_has_its_own_rows_and_the_test_set_is_what_all_hold_out(tmp_path: Path) -> None:
    shares = divide(sites(tmp_path, south=mixed(20, 100, "y,ward,age"), north=mixed(40, 0)))
    try:
        assert (shares.columns, shares.kinds) == (("age", "ward"), ("number", "category"))
        assert (shares.sizes, shares.rows) == ((32, 16), 48)
        own = unpacked(shares)
        X, y = shares.test_rows() or ((), ())
        ages = {name: set(rows["age"][~rows.gaps("age")].tolist()) for name, (rows, _) in own.items()}
        assert all(age < 100 for age in ages["north"])
        assert all(age >= 100 for age in ages["south"])
        tested = X["age"][~X.gaps("age")].tolist()
        assert not set(tested) & (ages["north"] | ages["south"])
        assert (len(y), int(y.sum())) == (12, 6)  # of each site a fifth, of each class alike
        assert {age >= 100 for age in tested} == {True, False}
        assert shares.test_sites is not None
        known = ~X.gaps("age")
        assert shares.test_sites[known].tolist() == [int(age >= 100) for age in tested]
    finally:
        shares.close()


def test_plain_numbers_of_sites_are_arrays_as_ever(tmp_path: Path) -> None:
    text = "\n".join(["a,b,y", *(f"{row},{row * 2},{row % 2}" for row in range(20))])
    shares = divide(sites(tmp_path, south=text, north=text))
    try:
        assert shares.kinds is None
        assert unpacked(shares)["north"][0].shape == (16, 2)
    finally:
        shares.close()


def test_a_site_with_too_few_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"site south .south\.csv. has 2 rows, and takes part with 3 at least"):
        divide(sites(tmp_path, south=mixed(2, 100), north=mixed(40, 0)))


def by_column(folder: Path, partition: str) -> DataShares:
    """Rows of two wards, of which the second is the larger and so the first node's."""
    rows = [f"{row},{'ab'[row % 3 > 0]},{row % 2}" for row in range(60)]
    (folder / "a.csv").write_text("\n".join(["x,ward,y", *rows]))
    how = {"partition": partition} | ({"column": "ward"} if partition == "column" else {})
    return divide(Experiment.from_dict({"nodes": 2, "data": {"name": str(folder / "a.csv"), **how}}))


def test_rows_divided_by_a_column_have_test_rows_of_their_sites(tmp_path: Path) -> None:
    shares = by_column(tmp_path, "column")
    try:
        X, _ = shares.test_rows() or ((), ())
        assert shares.test_sites is not None
        rows = (X["x"] if hasattr(X, "columns") else X[:, 0]).astype(int)
        assert shares.test_sites.tolist() == [0 if row % 3 else 1 for row in rows.tolist()]
    finally:
        shares.close()


def test_drawn_parts_have_their_test_rows_in_common(tmp_path: Path) -> None:
    shares = by_column(tmp_path, "iid")
    assert shares.test_sites is None
    shares.close()


def test_weights_come_with_the_rows_of_each_site_and_with_the_test_set(tmp_path: Path) -> None:
    text = "\n".join(["a,w,y", *(f"{row},{row % 4},{row % 2}" for row in range(40))])
    plan = sites(tmp_path, south=text, north=text)
    plan = replace(plan, data=replace(plan.data, weight="w"))
    shares = divide(plan)
    try:
        assert (shares.columns, shares.weighted) == (("a",), True)
        assert "north.csv: 10 rows of weight 0 left out" in shares.notes
        for node in shares.nodes:
            [(X, _, weight)], _ = unpack_rows(os.dup(node), shares.columns, shares.kinds, weighted=True)
            assert (weight == X[:, 0] % 4).all()
        X, y, weight = shares.test_rows() or ()
        assert (len(X), len(y)) == (12, 12)
        assert (weight == X[:, 0] % 4).all()
        (first, second), order = unpack_rows(os.dup(shares.whole), shares.columns, shares.kinds, weighted=True, sets=2)
        assert [len(one) for one in (*first, *second)] == [48, 48, 48, 12, 12, 12]
        assert [len(one) for one in order] == [48, 2, 12]
    finally:
        shares.close()


def test_a_model_that_takes_no_weights_is_refused_before_anything_starts(tmp_path: Path) -> None:
    text = "\n".join(["a,w,y", *(f"{row},{row % 4},{row % 2}" for row in range(40))])
    plan = sites(tmp_path, south=text, north=text)
    plan = replace(plan, data=replace(plan.data, weight="w"), model=replace(plan.model, name="pegasos"))
    with pytest.raises(DataError, match=r"model\.name: pegasos takes no sample_weight.*models that do: mlp"):
        divide(plan)


COMMAS = "x;ward;y\n" + "".join(f"{row},5;{'ab'[row % 2]};{'pq'[row % 2]}\n" for row in range(20))


def test_how_the_files_write_their_columns_reaches_every_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    monkeypatch.setattr(hosted_node, "build_site_model", lambda *_, **told: built.append(told["written"]))
    monkeypatch.setattr(hosted_node, "shared_config_of", lambda *_: {})
    monkeypatch.setattr(hosted_node.ROLES["client"], "from_parts", lambda *_: None)
    chosen = sites(tmp_path, north=COMMAS, south=COMMAS.replace(",", ".").replace(";", ","))
    shares = divide(chosen)
    shares.close()
    job = data_job("nodes", chosen, shares) | {"broker": "", "run": "r", "report_server": {}}
    spec = {"name": "north", "role": "client", "checkpoint_dir": None, "run_dir": None}
    hosted_node.build_node(job, Placed.of(job, spec, chosen), spec, None, Mock(test=None, secure=lambda _: None))
    assert built == [{"x": Written(("1,5",))}]


def test_a_node_by_hand_tells_it_too(tmp_path: Path) -> None:
    (tmp_path / "north.csv").write_text(COMMAS)
    experiment = Experiment.from_dict({"data": {"name": str(tmp_path / "north.csv")}})
    site, notes = standalone._site_model("client", "run", experiment, None)
    assert site.answer({}).fields["written"] == {"x": {"formats": ["1,5"], "gaps": None}}
    assert notes == ("north.csv: cells separated by semicolons, decimal commas in x",)


def test_targets_outside_the_models_domain_are_refused_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("a,y\n" + "".join(f"{k},{k - 2}\n" for k in range(30)))
    model = {"name": "sklearn.linear_model.PoissonRegressor"}
    experiment = Experiment.from_dict({"data": {"name": str(path), "task": "regression"}, "model": model})
    with pytest.raises(DataError, match=r"model\.name: PoissonRegressor needs targets at least 0, found -2 \(.*counts"):
        divide(experiment)

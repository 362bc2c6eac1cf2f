"""A saved model predicts what it predicted, from raw inputs, and a damaged one is refused by name."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import artifact
from nervenet.models.artifact import ModelFileError, load_model, read_extra, save_model, write_card
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.registry import named_model
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.models.weights import IncompatibleWeights

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # scikit-learn's, of arrays


def trained(name: str = "iris", model: object = None, epochs: int = 5) -> SiteModel:
    train, _ = split(load(name))
    one = SiteModel(model or MLP(hidden=(6,)), train.X, train.y, columns=train.columns, task=train.task)
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=epochs), generator(0))
    return one


def save(one: SiteModel, folder: Path, **extra: Any) -> Path:
    save_model(folder, one.model, one.preprocessing, one.get_weights(), extra)
    return folder


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
def test_a_loaded_model_predicts_the_same(tmp_path: Path, name: str) -> None:
    one = trained(name)
    X = load(name).X
    again = load_model(save(one, tmp_path / "run"))
    assert np.array_equal(again.predict(X), one.predict(X))
    assert again.preprocessing == one.preprocessing
    assert np.array_equal(again.get_weights(), one.get_weights())
    for file in ("model.json", "model.safetensors"):
        assert np.array_equal(load_model(tmp_path / "run" / file).predict(X), one.predict(X))


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    one = trained()
    first, second = (save(one, tmp_path / folder, accuracy=0.5, round=3) for folder in ("a", "b"))
    files = sorted(path.name for path in first.iterdir())
    assert files == ["model.json", "model.safetensors", "model_card.md"]
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_two_models_may_share_a_folder(tmp_path: Path) -> None:
    site_model = trained(epochs=1)
    best = site_model.get_weights()
    save_model(tmp_path, site_model.model, site_model.preprocessing, best + 1, {"round": 9})
    save_model(tmp_path, site_model.model, site_model.preprocessing, best, {"round": 3}, stem="best")
    assert np.array_equal(load_model(tmp_path / "best.json").get_weights(), best)
    assert np.array_equal(load_model(tmp_path).get_weights(), best + 1)
    assert (read_extra(tmp_path / "best.safetensors"), read_extra(tmp_path)) == ({"round": 3}, {"round": 9})


def test_saving_leaves_the_model_itself_alone(tmp_path: Path) -> None:
    one = trained()
    before = one.get_weights()
    save_model(tmp_path, one.model, one.preprocessing, np.zeros_like(before), {})
    assert np.array_equal(one.get_weights(), before)
    assert not load_model(tmp_path).get_weights().any()


def test_extra_facts_are_kept_and_nan_becomes_null(tmp_path: Path) -> None:
    save(trained(), tmp_path, round=20, metrics={"r2": float("nan"), "loss": [0.5, float("inf")]})
    assert read_extra(tmp_path) == {"round": 20, "metrics": {"r2": None, "loss": [0.5, None]}}


def test_weights_that_do_not_fit_are_not_saved(tmp_path: Path) -> None:
    one = trained()
    with pytest.raises(IncompatibleWeights):
        save_model(tmp_path, one.model, one.preprocessing, one.get_weights()[1:], {})
    assert not list(tmp_path.iterdir())


def apart(one: SiteModel) -> np.ndarray:
    """Return the weights as a column of a table, so that its numbers are not side by side in memory."""
    return np.column_stack([one.get_weights(), one.get_weights() + 1])[:, 0]


def test_a_column_of_a_table_is_saved_as_its_numbers(tmp_path: Path) -> None:
    one = trained(epochs=1)
    save_model(tmp_path, one.model, one.preprocessing, apart(one))
    assert np.array_equal(load_model(tmp_path).get_weights(), one.get_weights())


def test_without_a_copy_it_could_not_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained(epochs=1)
    monkeypatch.setattr(artifact.np, "ascontiguousarray", lambda vector: vector)
    with pytest.raises(TypeError, match="contiguous"):
        save_model(tmp_path, one.model, one.preprocessing, apart(one))
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_weights_are_named_as_in_the_layout(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    one = trained()
    arrays = load_file(save(one, tmp_path) / "model.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == dict(
        zip(one.layout.names, one.layout.shapes, strict=True)
    )


def edit(folder: Path, *, signed: bool = True, **change: Any) -> None:
    """Change a description, and its digest with it, as another program could."""
    path = folder / "model.json"
    fields = json.loads(path.read_text()) | change
    fields = {key: value for key, value in fields.items() if value is not ...}
    path.write_text(json.dumps(fields | ({"blake2b": artifact._own_digest(fields)} if signed else {})))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def swap(folder: Path) -> None:
    save(trained(epochs=1), folder / "other")
    (folder / "other" / "model.safetensors").replace(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda f: edit(f, format=2),
            r"model\.json: is of format 2, written by nervenet .*; this version reads format 1",
        ),
        (lambda f: edit(f, format=2, versions=3), r"model\.json: is of format 2; this version reads format 1"),
        (lambda f: edit(f, signed=False, rule="sum"), r"model\.json: was changed .* its digest is \w+, expected \w+"),
        (lambda f: edit(f, signed=False, blake2b=...), r"model\.json: was changed .* expected None"),
        (lambda f: edit(f, versions=3), r"model\.json: versions must be a version by each package"),
        (lambda f: edit(f, format=...), r"model\.json: not the description of a model"),
        (lambda f: edit(f, agreement=...), r"model\.json: has no 'agreement'"),
        (lambda f: edit(f, agreement={}), r"model\.json: preprocessing without"),
        (lambda f: edit(f, weights={}), r"model\.json: has no 'blake2b'"),
        (lambda f: edit(f, model={"name": "os.system", "parameters": {}}), r"model\.json: unknown model 'os\.system'"),
        (lambda f: edit(f, model={"name": "mlp", "parameters": {"hidden": [7]}}), r"model\.json: layout \w+ is not"),
        (lambda f: edit(f, model=3), r"model\.json: "),
        (lambda f: (f / "model.json").write_text("{"), r"model\.json: not JSON"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe\xfa"), r"model\.json: not JSON"),
        (lambda f: (f / "model.json").write_text("[" * 100_000), r"model\.json: not JSON"),
        (lambda f: (f / "model.json").unlink(), r"model\.json: no such file"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: no such file"),
        (cut, r"model\.safetensors: is damaged, or belongs to another model\.json: its digest .* expected \w{32}"),
        (swap, r"model\.safetensors: is damaged, or belongs to another model\.json"),
    ],
)
def test_a_damaged_model_is_refused_by_name(tmp_path: Path, damage: Any, reason: str) -> None:
    save(trained(), tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelFileError, match=reason):
        load_model(tmp_path)


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_no_bit_can_be_flipped_unnoticed(tmp_path: Path, file: str) -> None:
    save(trained(epochs=1), tmp_path)
    whole = (tmp_path / file).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        bad = bytearray(whole)
        bad[place] ^= 1 << place % 8
        (tmp_path / file).write_bytes(bad)
        if file == "model.json" and same(bad, whole):
            continue
        with pytest.raises(ModelFileError, match=file.replace(".", r"\.")):
            load_model(tmp_path)
    (tmp_path / file).write_bytes(whole)
    load_model(tmp_path)


def same(one: bytes | bytearray, other: bytes) -> bool:
    """Return whether two texts are the same JSON: between values blanks may be of any kind."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_without_its_digest_a_changed_description_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(trained(epochs=1), tmp_path)
    fields = json.loads((tmp_path / "model.json").read_text())
    fields["agreement"]["center"][0] += 1
    edit(tmp_path, signed=False, **fields)
    with pytest.raises(ModelFileError, match="was changed since it was written"):
        load_model(tmp_path)
    monkeypatch.setattr(artifact, "_own_digest", lambda fields: fields["blake2b"])
    load_model(tmp_path)


def test_a_path_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"/nonexistent: no such file or folder"):
        load_model(Path("/nonexistent"))
    with pytest.raises(ModelFileError, match=r"holds no model; expected model\.json and model\.safetensors, as a run"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ModelFileError, match=r"notes\.txt: not a model; expected a folder"):
        load_model(tmp_path / "notes.txt")


def test_a_renamed_pair_is_still_a_model(tmp_path: Path) -> None:
    one = trained()
    save(one, tmp_path)
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"model{suffix}").replace(tmp_path / f"best{suffix}")
    assert np.array_equal(load_model(tmp_path / "best.safetensors").get_weights(), one.get_weights())


def test_no_scratch_file_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(trained(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        save(trained(epochs=2), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# what is saved


def test_the_card_tells_people_what_the_model_is(tmp_path: Path) -> None:
    one = trained()
    save(one, tmp_path, round=20, mode="gossip", data="iris", metrics={"accuracy": 0.95, "loss": float("nan")})
    card = (tmp_path / "model_card.md").read_text()
    for words in (
        "---\nlibrary_name: nervenet\npipeline_tag: tabular-classification\n",
        "tags: [federated-learning, gossip-learning]\n---",
        "# mlp\n\nPredicts one of 3 classes from 4 columns of raw values.",
        "| round | 20 |",
        "| data | iris |",
        "| accuracy | 0.95 |",
        "| sepal length (cm) | number |",
        "| nervenet |",
        'load_model("model.json")',
    ):
        assert words in card
    assert "| loss |" not in card
    write_card(tmp_path, {"nodes": 4}, {})
    assert "| nodes | 4 |" in (tmp_path / "model_card.md").read_text()


def test_names_from_elsewhere_are_text_in_the_card(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    one = SiteModel(MLP(hidden=(4,)), X, np.arange(30) % 2, columns=["a|b`<img src=x>", "[c](d)\n# e"])
    one.build(agree({"only": one.statistics()}), 0)
    save_model(tmp_path, one)
    card = (tmp_path / "model_card.md").read_text()
    assert r"| a\|b\`&lt;img src=x&gt; | number |" in card
    assert r"| \[c\](d) # e | number |" in card


# what is saved


def test_a_site_model_brings_all_that_is_saved(tmp_path: Path) -> None:
    one = trained()
    save_model(str(tmp_path / "text"), one)
    save(one, tmp_path / "parts")
    for file in ("model.json", "model.safetensors"):
        assert (tmp_path / "text" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    assert np.array_equal(load_model(str(tmp_path / "text")).get_weights(), one.get_weights())


def test_a_model_without_its_preprocessing_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="MLP is saved with its preprocessing; a SiteModel brings its own"):
        save_model(tmp_path, trained().model)
    with pytest.raises(RuntimeError, match="not built yet"):
        save_model(tmp_path, SiteModel(MLP()))
    assert not list(tmp_path.iterdir())


def test_facts_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    save(trained(), tmp_path, rows=np.int64(3), loss=np.float32(0.5), worst=np.float64("nan"))
    assert read_extra(tmp_path) == {"rows": 3, "loss": 0.5, "worst": None}


# classes of one's own


class Shifted(MLP):
    """A class of one's own, under the name of the family that it comes from."""

    def predict(self, X: Any) -> Any:
        return (super().predict(X) + 1) % 3


@pytest.mark.parametrize("way", [Shifted, Shifted(hidden=(6,)), f"{__name__}:Shifted"], ids=["class", "made", "path"])
def test_a_model_of_ones_own_is_loaded_by_who_names_it(
    tmp_path: Path, way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Shifted.__module__])
    one = trained(model=Shifted(hidden=(6,)))
    again = load_model(save(one, tmp_path), model=way)
    assert np.array_equal(again.predict(load("iris").X), one.predict(load("iris").X))


def test_a_model_of_ones_own_is_not_imported_because_a_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(trained(), tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text("raise SystemExit('ran')")
    edit(tmp_path, model={"name": "stranger:Model", "parameters": {}})
    with pytest.raises(ModelFileError, match=r"a class of your own, stranger:Model, which is imported only where you"):
        load_model(tmp_path)
    with pytest.raises(SystemExit, match="ran"):
        load_model(tmp_path, model="stranger:Model")


def test_under_the_name_that_it_has_a_model_of_ones_own_would_be_loaded_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "describe", lambda model: model.describe())
    one = trained(model=Shifted(hidden=(6,)))
    again = load_model(save(one, tmp_path))
    assert not (again.predict(load("iris").X) == one.predict(load("iris").X)).any()


def test_an_estimator_of_ones_own_is_loaded_by_who_names_it(tmp_path: Path) -> None:
    from sklearn.linear_model import SGDClassifier

    class Mine(SGDClassifier):
        pass

    one = trained(model=Mine())
    with pytest.raises(ModelFileError, match="a class of your own"):
        load_model(save(one, tmp_path))
    assert np.array_equal(load_model(tmp_path, model=Mine).predict(load("iris").X), one.predict(load("iris").X))


# scikit-learn estimators


ESTIMATORS = [
    ("iris", "linear_model.SGDClassifier", {"loss": "log_loss"}),
    ("breast_cancer", "linear_model.LogisticRegression", {}),
    ("iris", "neural_network.MLPClassifier", {"hidden_layer_sizes": [5]}),
    ("breast_cancer", "neural_network.MLPClassifier", {"solver": "sgd", "hidden_layer_sizes": [5]}),
    ("diabetes", "linear_model.SGDRegressor", {}),
    ("diabetes", "neural_network.MLPRegressor", {"hidden_layer_sizes": [5]}),
]


def estimator(name: str, path: str, parameters: dict[str, Any]) -> SiteModel:
    return trained(name, named_model(f"sklearn.{path}", parameters))


@pytest.mark.parametrize(("name", "path", "parameters"), ESTIMATORS)
def test_an_estimator_is_saved_as_itself_too(tmp_path: Path, name: str, path: str, parameters: dict[str, Any]) -> None:
    import skops.io

    one = estimator(name, path, parameters)
    again = load_model(save(one, tmp_path))
    X = load(name).X
    assert np.array_equal(again.predict(X), one.predict(X))
    assert skops.io.get_untrusted_types(file=tmp_path / "model.skops") == []
    plain = skops.io.load(tmp_path / "model.skops")
    assert np.array_equal(plain.predict(X), one.predict(X))
    assert np.array_equal(load_model(tmp_path / "model.skops").get_weights(), one.get_weights())


@pytest.mark.parametrize(
    "path", ["linear_model.SGDClassifier", "linear_model.LogisticRegression", "neural_network.MLPClassifier"]
)
def test_an_exported_classifier_answers_in_the_original_labels(tmp_path: Path, path: str) -> None:
    import skops.io

    train, _ = split(load("iris"))
    names = np.array(["setosa", "versicolor", "virginica"])
    one = SiteModel(named_model(f"sklearn.{path}", {}), train.X, names[train.y])
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=2), generator(0))
    plain = skops.io.load(save(one, tmp_path) / "model.skops")
    assert (plain.predict(train.X) == one.predict(train.X)).all()
    assert plain.classes_.tolist() == names.tolist()
    if hasattr(plain[-1], "partial_fit"):
        plain[-1].partial_fit(plain[:-1].transform(train.X), names[train.y])


def far_outside(one: SiteModel) -> np.ndarray:
    rng = np.random.default_rng(0)
    return one.preprocessing.center + one.preprocessing.scale * rng.normal(0, 40, (50, one.preprocessing.n_features))


@pytest.mark.parametrize(("name", "path", "parameters"), ESTIMATORS)
@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, np.float32, np.int64])
def test_what_is_exported_is_what_is_served_to_the_last_bit(
    tmp_path: Path, name: str, path: str, parameters: dict[str, Any], kind: Any
) -> None:
    import skops.io

    one = estimator(name, path, parameters)
    plain = skops.io.load(save(one, tmp_path) / "model.skops")
    for X in (kind(load(name).X), kind(far_outside(one))):
        assert np.array_equal(plain.predict(X), one.predict(X))
        if one.predict_proba(X) is not None:
            assert np.array_equal(plain.predict_proba(X), one.predict_proba(X))


def test_it_would_predict_otherwise_far_outside_without_the_clip(tmp_path: Path) -> None:
    import skops.io

    one = estimator(*ESTIMATORS[4])
    plain = skops.io.load(save(one, tmp_path) / "model.skops")
    plain.regressor_.steps = [step for step in plain.regressor_.steps if step[0] != "clip"]
    X = far_outside(one)
    assert np.abs(plain.predict(X) - one.predict(X)).max() > 100


def test_the_export_needs_scikit_learn_and_skops_alone(tmp_path: Path) -> None:
    import re
    import zipfile

    with zipfile.ZipFile(save(estimator(*ESTIMATORS[5]), tmp_path) / "model.skops") as archive:
        modules = re.findall(r'"__module__": "([^".]+)', archive.read("schema.json").decode())
    assert set(modules) <= {"builtins", "collections", "numpy", "sklearn"}


@pytest.mark.parametrize(("name", "path", "parameters"), ESTIMATORS[:3])
def test_the_same_estimator_is_the_same_bytes(tmp_path: Path, name: str, path: str, parameters: dict[str, Any]) -> None:
    first, second = (save(estimator(name, path, parameters), tmp_path / folder) for folder in ("a", "b"))
    for file in ("model.json", "model.safetensors", "model.skops"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_what_skops_writes_by_itself_differs_each_time() -> None:
    """So that the test above can fail."""
    from skops.io import dumps

    one = estimator(*ESTIMATORS[0])
    assert dumps(one.model.estimator) != dumps(one.model.estimator)

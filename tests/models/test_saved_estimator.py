"""model.skops is read with nothing made that is not known, and by the release of scikit-learn that wrote it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import (
    MLP,
    LocalWork,
    ModelFileError,
    SiteModel,
    artifact,
    generator,
    load_estimator,
    load_model,
    save_model,
    saved_estimator,
    to_sklearn,
)
from nervenet.models.site_statistics import agree
from nervenet.models.sklearn.skops_file import skops_bytes
from nervenet.models.versions import OtherVersion, installed_version, same_release
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

pytest.importorskip("skops")
X = np.random.default_rng(0).normal(size=(40, 3)) + np.arange(40)[:, None] % 2


@pytest.fixture(scope="module")
def one() -> SiteModel:
    site_model = SiteModel(SGDClassifier(), X, np.arange(40) % 2)
    site_model.build(agree({"only": site_model.statistics()}), 0)
    site_model.train(LocalWork(epochs=2), generator(0))
    return site_model


def test_the_saved_estimator_predicts_the_same(one: SiteModel, tmp_path: Path) -> None:
    save_model(tmp_path, one)
    for path in (tmp_path, tmp_path / "model.skops"):
        assert np.array_equal(load_estimator(path).predict(X), one.predict(X))


def test_one_that_was_exported_is_read_too(tmp_path: Path) -> None:
    plain = SiteModel(MLP(hidden=(4,)), X, np.arange(40) % 2)
    plain.build(agree({"only": plain.statistics()}), 0)
    save_model(tmp_path, plain)
    with pytest.raises(ModelFileError, match=r"model\.skops: no such file"):
        load_estimator(tmp_path)
    (tmp_path / "model.skops").write_bytes(skops_bytes(to_sklearn(plain)))
    assert np.array_equal(load_estimator(tmp_path).predict(X), plain.predict(X))


def test_another_file_than_was_saved_is_named(one: SiteModel, tmp_path: Path) -> None:
    save_model(tmp_path, one)
    (tmp_path / "model.skops").write_bytes(skops_bytes(SGDClassifier()))
    with pytest.raises(ModelFileError, match=r"model\.skops: is damaged, or belongs to another .* expected \w{32}"):
        load_estimator(tmp_path)
    (tmp_path / "model.json").unlink()  # nothing is known of it then
    assert isinstance(load_estimator(tmp_path / "model.skops"), SGDClassifier)
    (tmp_path / "model.skops").write_bytes(b"PK\x03\x04 half of")
    with pytest.raises(ModelFileError, match=r"model\.skops: is no skops file, or damaged"):
        load_estimator(tmp_path / "model.skops")


def test_a_type_that_is_not_known_is_named_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.skops"
    file.write_bytes(skops_bytes(make_pipeline(FunctionTransformer(np.nan_to_num))))
    with pytest.raises(ModelFileError, match=r"model\.skops: holds numpy\.nan_to_num, expected nothing but"):
        load_estimator(file)
    assert load_estimator(file, trusted=["numpy.nan_to_num"])[0].func is np.nan_to_num
    monkeypatch.setattr(saved_estimator, "ALLOWED", frozenset({"numpy.nan_to_num"}))  # without the look at the names
    assert load_estimator(file)[0].func is np.nan_to_num


# other versions


def as_of(content: bytes, release: str) -> bytes:
    """Return a skops file as another release of scikit-learn would have written it."""
    import io
    import zipfile

    import sklearn

    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "schema.json":
                data = data.replace(f'\\"{sklearn.__version__}\\"'.encode(), f'\\"{release}\\"'.encode())
            target.writestr(name, data)
    return result.getvalue()


def test_an_estimator_of_another_release_is_refused_by_both_versions(one: SiteModel, tmp_path: Path) -> None:
    import sklearn

    file = tmp_path / "own.skops"
    file.write_bytes(as_of(skops_bytes(to_sklearn(one)), "1.3.2"))
    words = rf"own\.skops: was written with scikit-learn 1\.3\.2, found here is {sklearn.__version__}: .* load_model"
    with pytest.raises(ModelFileError, match=words):
        load_estimator(file)
    same = ".".join([*sklearn.__version__.split(".")[:2], "77"])
    file.write_bytes(as_of(skops_bytes(to_sklearn(one)), same))
    assert np.array_equal(load_estimator(file).predict(X), one.predict(X))


@pytest.mark.parametrize(("written", "warns"), [("1.3.2", True), (None, False)])
def test_weights_are_read_by_any_release_and_another_one_is_said(
    one: SiteModel, tmp_path: Path, written: str | None, warns: bool
) -> None:
    save_model(tmp_path, one)
    fields: dict[str, Any] = json.loads((tmp_path / "model.json").read_text())
    if written:
        fields["versions"]["scikit-learn"] = written
    fields["blake2b"] = artifact._own_digest(fields)
    (tmp_path / "model.json").write_text(json.dumps(fields))
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        again = load_model(tmp_path)
    said = [str(each.message) for each in noted if each.category is OtherVersion]
    assert len(said) == warns
    here = installed_version("scikit-learn")
    assert all(f"model.json: was written with scikit-learn 1.3.2, and read with {here}: its" in line for line in said)
    assert np.array_equal(again.predict(X), one.predict(X))


def test_releases_are_the_same_up_to_their_last_part() -> None:
    assert same_release("1.5.0", "1.5.2")
    assert not same_release("1.5.0", "1.6.0")

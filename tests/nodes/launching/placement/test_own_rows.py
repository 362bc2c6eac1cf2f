"""Rows that lie at a worker: what is said of them, and that the launcher has none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.jobs import OWN_ROWS
from nervenet.nodes.launching.placement.own_rows import agreed_task, unread, with_own_rows
from nervenet.nodes.launching.shared_rows import unpack_rows


def job(where: dict[str, str], **data: Any) -> dict[str, Any]:
    return {"kind": "nodes", "experiment": Experiment.from_dict({"data": data}).to_dict(), OWN_ROWS: where}


def rows_of(job: dict[str, Any], descriptor: int) -> tuple[Any, ...]:
    [rows], _ = unpack_rows(descriptor, job["columns"], job["kinds"], weighted=job["weighted"])
    return rows


def test_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "site.csv"
    file.write_text("age,town,w,sick\n1,A,1,yes\n2,B,2,no\n3,,3,no\n")
    there, descriptor = with_own_rows(job({"file": str(file)}, target="sick", weight="w"), None)
    X, y, weight = rows_of(there, descriptor)
    assert (there["columns"], there["kinds"]) == (["age", "town"], ["number", "category"])
    assert there["task"] is None
    assert X["age"].tolist() == [1, 2, 3]
    assert y.tolist() == ["yes", "no", "no"]
    assert weight.tolist() == [1, 2, 3]


def test_so_is_a_partition_of_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "target": ["x", "y"]})
    there, descriptor = with_own_rows(job({"held": "partition 3"}), frame)
    X, y = rows_of(there, descriptor)
    assert there["kinds"] is None
    np.testing.assert_array_equal(X, [[1, 3], [2, 4]])
    assert y.tolist() == ["x", "y"]
    with pytest.raises(DataError, match="partition 3: no column 'tarrget'"):
        with_own_rows(job({"held": "partition 3"}, target="tarrget"), frame)


def test_the_launcher_has_an_empty_share_for_each_node() -> None:
    shares = unread(Experiment.from_dict({"nodes": 3}))
    try:
        assert len(shares.nodes) == 3
        assert shares.test_rows() is None
        assert (shares.rows, shares.columns, shares.task) == (0, (), "")
    finally:
        shares.close()


def test_what_the_targets_are_is_what_the_nodes_agreed() -> None:
    agreed = {"columns": ["a"], "center": [0.0], "scale": [1.0], "clip": 5.0, "target_center": 0.0, "target_scale": 1.0}
    assert agreed_task({**agreed, "classes": ["x", "y"]}) == "classification"
    assert agreed_task({**agreed, "classes": None}) == "regression"
    assert agreed_task(None) == "classification"

"""Long JSON bodies, whose rows are laid out by compiled code: the same rows, and the same reasons, as one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.serving import json_rows
from nervenet.nodes.serving.json_rows import NumberRows
from nervenet.nodes.serving.refusals import Malformed

COLUMNS = ("a", "b, c", "d")
FEW = [[1, 2.5, True], [0, -1e300, 5e-324], {"d": 1, "a": 2, "b, c": 3.5, "more": "x"}, [1e22, 2**53 + 1, -0.0]]

cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.none(),
    st.just("1"),
)
rows = st.one_of(
    st.lists(cells, min_size=2, max_size=4),
    st.fixed_dictionaries(dict.fromkeys(COLUMNS, cells)),
    st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3),
    st.just([[1, 2], [3], 4]),
)


def outcome(body: bytes, short: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(json_rows, "SHORT_BYTES", short)
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", 40)
    try:
        return NumberRows(COLUMNS).read(body, 50).tolist()
    except Malformed as error:
        return str(error)


@given(st.lists(rows, max_size=12), st.booleans())
def test_they_are_read_as_short_ones(sent: list[Any], spaced: bool) -> None:
    body = msgspec.json.encode({"X_test": sent})
    body = msgspec.json.format(body, indent=1) if spaced else body
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert outcome(body, 0, monkeypatch) == outcome(body, 10**9, monkeypatch)


def test_rows_of_all_kinds_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(msgspec.json.encode({"X_test": FEW * 3}), 0, monkeypatch)
    assert found[:4] == [[1, 2.5, 1], [0, -1e300, 5e-324], [2, 3.5, 1], [1e22, 2.0**53, 0]]
    assert found[4:8] == found[:4]


def test_a_column_with_quotes_in_its_name_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "SHORT_BYTES", 0)
    body = msgspec.json.encode({"X_test": [{'5" pipe': 1, "a": 2}] * 3})
    assert NumberRows(("a", '5" pipe')).read(body, 9).tolist() == [[2, 1]] * 3


def test_numbers_that_fill_each_others_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"X_test":[[1,2],[3,4,5,6]]}'
    monkeypatch.setattr(json_rows, "SHORT_BYTES", 0)
    with pytest.raises(Malformed, match="row 0 has 2 values"):
        NumberRows(COLUMNS).read(body, 9)
    monkeypatch.setattr(json_rows, "_all_wide", lambda *_: True)  # without the look at where each row ends
    assert np.array_equal(NumberRows(COLUMNS).read(body, 9), [[1, 2, 3], [4, 5, 6]])

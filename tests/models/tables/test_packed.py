"""A table as plain arrays, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.tables.packed import ARRAYS, packed, unpacked
from nervenet.models.tables.table import GAP, Table

COLUMNS = ("n", "c", "d")
KINDS = ("number", "category", "date")
ROWS = st.lists(
    st.tuples(
        st.none() | st.floats(-1e9, 1e9),
        st.none() | st.text(max_size=4),
        st.none() | st.datetimes().map(lambda time: time.replace(microsecond=0)),
    )
)


@given(ROWS)
def test_a_table_comes_back_as_it_was(rows):
    n, c, d = zip(*rows, strict=True) if rows else ((), (), ())
    words = np.empty(len(rows), object)
    words[:] = [GAP if cell is None else cell for cell in c]
    numbers = np.array([np.nan if cell is None else cell for cell in n], np.float64)
    table = Table(COLUMNS, KINDS, (numbers, words, np.array(d, "datetime64[s]")))
    arrays = packed(table)
    assert len(arrays) == sum(ARRAYS[kind] for kind in KINDS)
    assert not any(array.dtype.hasobject for array in arrays)
    again = unpacked(COLUMNS, KINDS, arrays)
    for name in COLUMNS:
        there = ~table.gaps(name)
        assert again.gaps(name).tolist() == table.gaps(name).tolist()
        assert again[name][there].tolist() == table[name][there].tolist()

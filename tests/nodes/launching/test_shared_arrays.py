"""Arrays through a file without a name."""

import mmap
import os
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nervenet.nodes.launching import shared_arrays
from nervenet.nodes.launching.shared_arrays import pack, unpack

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7)
kinds = st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.dtype("<U5")])
arrays = st.lists(kinds.flatmap(lambda kind: hnp.arrays(kind, shapes)), max_size=4)


@pytest.fixture(params=["read", "mapped"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """However small it is, a file is read at once, or mapped."""
    monkeypatch.setattr(shared_arrays, "SMALL", 1 << 16 if request.param == "read" else 0)
    return str(request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays)
def test_what_is_packed_is_unpacked(given_arrays: list[np.ndarray]) -> None:
    found = unpack(pack(given_arrays))
    assert len(found) == len(given_arrays)
    for one, other in zip(found, given_arrays, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == np.ascontiguousarray(other).tobytes()


def test_a_small_one_is_no_map_and_so_holds_no_descriptor(way: str) -> None:
    """Of 500 hosted peers there were 500, of the rows of each."""
    (array,) = unpack(pack([np.arange(5.0)]))
    assert array.ctypes.data % shared_arrays.ALIGNED == 0
    holder: Any = array
    while isinstance(holder, np.ndarray | memoryview):
        holder = holder.base if isinstance(holder, np.ndarray) else holder.obj
    assert isinstance(holder, mmap.mmap) is (way == "mapped")


def test_one_that_has_been_cut_short_is_no_array(way: str) -> None:
    if way == "read":
        descriptor = pack([np.arange(5.0)])
        size = os.fstat(descriptor).st_size
        with pytest.raises(ValueError, match=f"a file of {size + 1:,} bytes ended after {size:,}"):
            shared_arrays._read(descriptor, size + 1)
        os.close(descriptor)


def test_nobody_can_change_what_all_share() -> None:
    (array,) = unpack(pack([np.arange(5.0)]))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_the_order_of_memory_is_not_part_of_it() -> None:
    turned = np.arange(6.0).reshape(2, 3).T
    (array,) = unpack(pack([turned]))
    assert np.array_equal(array, turned)


def test_two_readers_of_one_file_do_not_disturb_each_other() -> None:
    descriptor = pack([np.arange(9.0), np.arange(3)])
    again = os.dup(descriptor)
    first, second = unpack(descriptor), unpack(again)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], np.arange(3))


def test_it_closes_its_descriptor_and_leaves_no_file() -> None:
    descriptor = pack([np.ones(4)])
    if sys.platform.startswith("linux"):
        assert os.fstat(descriptor).st_nlink == 0
    array = unpack(descriptor)[0]
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
    assert array.sum() == 4  # it outlives the descriptor


def test_nothing_is_nothing() -> None:
    assert unpack(os.open(os.devnull, os.O_RDONLY)) == []


def test_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        pack([np.array([{}], dtype=object)])

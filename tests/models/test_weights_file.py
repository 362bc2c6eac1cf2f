"""Weights are written as they lie in memory, and every reader of safetensors finds them by name."""

import tracemalloc
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from nervenet.models.weights import Layout
from nervenet.models.weights_file import plain_weights, write_weights
from safetensors.numpy import load_file, save

LAYOUT = Layout(("weight", "bias", "a"), ((3, 4), (4,), (2, 2)), "float32")
VECTOR = np.arange(20, dtype=np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_safetensors_reads_what_is_written(tmp_path: Path, dtype: str) -> None:
    layout = Layout(LAYOUT.names, LAYOUT.shapes, dtype)  # type: ignore[arg-type]
    vector = VECTOR.astype(dtype)
    digest = write_weights(tmp_path / "model.safetensors", layout, vector)
    found = load_file(tmp_path / "model.safetensors")
    for name, array in layout.views(vector).items():
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], array)
    content = (tmp_path / "model.safetensors").read_bytes()
    assert digest == blake2b(content, digest_size=16).hexdigest()
    again = plain_weights(content, layout)
    assert again is not None
    assert np.array_equal(again, vector)


def test_a_file_of_another_writer_is_read_by_that_library() -> None:
    content = save(dict(LAYOUT.views(VECTOR)), metadata={"layout": LAYOUT.hash})
    assert plain_weights(content, LAYOUT) is None


def test_writing_takes_no_second_copy(tmp_path: Path) -> None:
    layout = Layout(("w",), ((500_000,),), "float32")
    vector = np.zeros(500_000, np.float32)
    tracemalloc.start()
    try:
        write_weights(tmp_path / "model.safetensors", layout, vector)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()

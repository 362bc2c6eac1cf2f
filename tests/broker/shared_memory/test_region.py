"""Regions: what is mapped for reading cannot be written, by nobody, and cannot be made shorter."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from nervenet.broker.limits import allowed
from nervenet.broker.shared_memory.region import WritableRegion, can_be_made, map_to_read

pytestmark = pytest.mark.skipif(not can_be_made(), reason="this system has no memory with such seals")

SIZE = 64 * 1024


def test_a_reader_sees_what_is_written_and_can_write_nothing() -> None:
    region = WritableRegion(SIZE)
    memory = map_to_read(os.dup(region.descriptor), SIZE)
    np.frombuffer(region.bytes, np.uint8)[:] = 7
    view = np.frombuffer(memory, np.uint8)
    assert view.min() == view.max() == 7
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    for open_again in (
        lambda: mmap.mmap(region.descriptor, SIZE),
        lambda: os.ftruncate(region.descriptor, SIZE // 2),
        lambda: os.pwrite(region.descriptor, b"x", 0),
        lambda: mmap.mmap(os.open(f"/proc/self/fd/{region.descriptor}", os.O_RDWR), SIZE),
    ):
        with pytest.raises(OSError, match=r"permitted|denied"):
            open_again()
    assert os.fstat(region.descriptor).st_mode & 0o077 == 0, "nor may other users open it"
    region.close()
    assert view[-1] == 7, "what somebody holds stays"


def test_what_is_not_sealed_or_of_another_size_is_not_mapped() -> None:
    unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, SIZE)
    with pytest.raises(OSError, match="not sealed"):
        map_to_read(unsealed, SIZE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(unsealed)  # it was closed
    region = WritableRegion(SIZE)
    with pytest.raises(OSError, match="was said to have"):
        map_to_read(os.dup(region.descriptor), 2 * SIZE)
    region.close()


def test_a_region_that_cannot_be_made_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="no space"):
        WritableRegion(SIZE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_region_is_larger_than_all_of_a_node_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", lambda *_: pytest.fail("it was asked for"))
    with pytest.raises(OSError, match="a region of"):
        WritableRegion(allowed("shared_bytes") + 1)

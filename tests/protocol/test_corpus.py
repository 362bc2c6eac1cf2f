"""Every input that coverage-guided fuzzing kept is read again: each reaches code that no other one reaches."""

from pathlib import Path

import pytest
from fuzz_codec import MESSAGE, check, pack, seeds, unpack
from mutants import GOLDEN

CORPUS = {
    path.stem: bytes.fromhex(path.read_text()) for path in sorted((Path(__file__).parent / "corpus").glob("*.hex"))
}


@pytest.mark.parametrize("name", CORPUS)
def test_a_kept_input_is_taken_or_refused_by_name(name):
    assert check(CORPUS[name]) in {"taken", "malformed", "oversize", "version"}


def test_the_kept_inputs_are_of_every_outcome():
    assert {check(data) for data in CORPUS.values()} == {"taken", "malformed", "oversize", "version"}


@pytest.mark.parametrize("frames", GOLDEN)
def test_an_input_holds_the_frames_of_a_message(frames):
    assert unpack(pack(MESSAGE, frames)) == (MESSAGE, frames)


def test_each_seed_is_taken():
    assert {check(seed) for seed in seeds()} == {"taken"}

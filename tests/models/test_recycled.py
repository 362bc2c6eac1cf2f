"""Memory of vectors that have ended: used again, never while something sees it, never more than was in use at once."""

import gc
import mmap
import weakref

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from nervenet.models import new_vector as made
from nervenet.models import recycled
from nervenet.models.new_vector import made_in, new_vector
from nervenet.models.recycled import Recycled


def place(vector):
    return vector.__array_interface__["data"][0]


@pytest.fixture
def asked(monkeypatch):
    """The sizes of all memory that the system is asked for."""
    sizes = []
    new = recycled._new

    def counted(nbytes):
        sizes.append(nbytes)
        return new(nbytes)

    monkeypatch.setattr(recycled, "_new", counted)
    return sizes


def test_a_vector_lies_where_one_that_has_ended_lay(asked):
    room = Recycled()
    vector = room.vector(1000, "float32")
    assert vector.shape == (1000,)
    assert vector.flags.writeable
    where = place(vector)
    del vector
    again = room.vector(500, "float64")
    assert (again.dtype, again.size, place(again)) == (np.float64, 500, where)
    assert asked == [4000]


@pytest.mark.parametrize(
    "seen",
    [lambda v: v[10:20], lambda v: v.view("uint8"), memoryview, lambda v: memoryview(v[::2]), lambda v: v[5:][2:].data],
    ids=["a slice", "a view", "its buffer", "the buffer of a slice", "the buffer of a slice of a slice"],
)
def test_what_something_still_sees_is_not_given_away(seen):
    room = Recycled()
    vector = room.vector(100, "float32")
    vector[:] = 7
    held = seen(vector)
    before = bytes(held)
    del vector
    other = room.vector(100, "float32")
    other[:] = 1
    assert bytes(held) == before
    where = place(other)
    del held, other
    assert {place(each) for each in [room.vector(100, "float32") for _ in range(2)]} >= {where}


def test_told_of_the_end_of_a_view_alone_it_would_give_away_what_is_seen(monkeypatch):
    """What the tests above would find."""
    finalize = weakref.finalize

    def of_a_view(vector, *call):
        return finalize(vector[:], *call)

    monkeypatch.setattr(recycled.weakref, "finalize", of_a_view)
    room = Recycled()
    vector = room.vector(100, "float32")
    assert place(room.vector(100, "float32")) == place(vector)


def test_memory_that_does_not_fit_is_given_back_before_there_is_more(asked):
    room = Recycled()
    vectors = [room.vector(100, "float32") for _ in range(3)]
    del vectors
    vector = room.vector(200, "float32")
    assert asked == [400] * 3 + [800]
    assert not room._waiting
    del vector
    assert [len(each) for each in room._waiting] == [800]


def test_two_sizes_in_turn_are_both_used_again(asked):
    room = Recycled()
    for _ in range(5):
        vectors = [room.vector(100, "float32"), room.vector(100, "float64"), room.vector(100, "float32")]
        del vectors
    assert asked == [400, 800, 400]


@settings(max_examples=30, stateful_step_count=30, deadline=None)
class Use(RuleBasedStateMachine):
    """Each vector keeps its numbers while it is held, and there is never more memory than was in use at once."""

    def __init__(self):
        super().__init__()
        self.room, self.held, self.most, self.count = Recycled(), {}, 0, 0

    @rule(size=st.sampled_from([1, 7, 4096, 5000]), dtype=st.sampled_from(["float32", "float64"]), part=st.booleans())
    def make(self, size, dtype, part):
        self.count += 1
        vector = self.room.vector(size, dtype)
        vector[:] = self.count
        self.held[self.count] = (vector[size // 2 :] if part else vector, vector.nbytes)
        self.most = max(self.most, sum(nbytes for _, nbytes in self.held.values()))

    @rule(data=st.data())
    def drop(self, data):
        if self.held:
            del self.held[data.draw(st.sampled_from(sorted(self.held)))]

    @invariant()
    def numbers_stay(self):
        assert all((vector == number).all() for number, (vector, _) in self.held.items())

    @invariant()
    def memory_is_bounded(self):
        in_use = sum(nbytes for _, nbytes in self.held.values())
        assert in_use + sum(map(len, self.room._waiting)) <= self.most


TestUse = Use.TestCase


def test_what_a_node_makes_lies_where_that_of_an_earlier_round_lay(monkeypatch):
    monkeypatch.setattr(made, "_LARGE", 4000)
    monkeypatch.setattr(made, "_OF_THREAD", type(made._OF_THREAD)())
    with made_in(lambda _: None):
        vector = new_vector(1000, "float32")
        where, vector = place(vector), None
        assert place(new_vector(1000, "float32")) == where
        assert new_vector(999, "float32").base is None  # the C library has memory for such
    assert new_vector(1000, "float32").base is None  # a program of one's own is given none that would be kept for it


def test_memory_that_waits_ends_with_its_thread(monkeypatch):
    monkeypatch.setattr(made, "_LARGE", 4000)
    monkeypatch.setattr(made, "_OF_THREAD", type(made._OF_THREAD)())
    with made_in(lambda _: None):
        vector = new_vector(1000, "float32")
    memory = weakref.ref(vector.base.obj if isinstance(vector.base, memoryview) else vector.base)
    assert isinstance(memory(), mmap.mmap)
    del vector
    gc.collect()
    assert memory() is not None
    made._OF_THREAD = None  # as at a thread's end
    gc.collect()
    assert memory() is None

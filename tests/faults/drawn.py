"""Networks and faults as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults, Partition
from vocabulary import Kill, Stop

SECONDS = st.floats(0.0, 40.0)


@st.composite
def bad_networks(draw: st.DrawFn, names: Sequence[str]) -> Faults:
    """Delay, loss, duplication, reordering and partitions among nodes."""
    sides = st.frozensets(st.sampled_from(names), min_size=1)
    cuts = st.builds(lambda side, at, length: Partition(side, at, at + length), sides, SECONDS, st.floats(0.1, 60.0))
    return Faults(
        seed=draw(st.integers(0, 10**6)),
        delay_s=(0.001, draw(st.sampled_from([0.001, 0.05, 1.0, 4.0]))),
        drop=draw(st.sampled_from([0.0, 0.05, 0.3, 0.9])),
        duplicate=draw(st.sampled_from([0.0, 0.3, 1.0])),
        ordered=draw(st.booleans()),
        partitions=draw(st.lists(cuts, max_size=2)),
        lanes=draw(st.sampled_from([(Lane.CONTROL, Lane.BULK), (Lane.BULK,), (Lane.CONTROL,)])),
    )


@st.composite
def node_faults(draw: st.DrawFn, mortal: Sequence[str], others: Sequence[str] = ()) -> list[Kill | Stop]:
    """Two stops of any node, three kills of those that are `mortal`, each once; noticed or not."""
    noticed = draw(st.booleans())
    downs = st.one_of(st.none(), st.floats(1.0, 40.0))
    kills = st.builds(Kill, st.sampled_from(mortal), SECONDS, st.just(noticed), downs)
    stops = st.builds(Stop, st.sampled_from([*mortal, *others]), SECONDS, st.floats(0.1, 30.0))
    return [
        *draw(st.lists(stops, max_size=2)),
        *draw(st.lists(kills, max_size=3, unique_by=lambda kill: kill.node)),
    ]

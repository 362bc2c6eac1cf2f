"""The gossip algorithms by themselves, in float64: by hand, what they keep, and where they lead."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.gossip.algorithms import Algorithm, AlgorithmError, Incoming, Progress
from nervenet.nodes.gossip.algorithms.averaging import DPSGD, Epidemic
from nervenet.nodes.gossip.algorithms.choco import Choco
from nervenet.nodes.gossip.algorithms.d2 import D2
from nervenet.nodes.gossip.algorithms.push_sum import SGP, balance
from nervenet.nodes.gossip.algorithms.registry import ALGORITHMS, SYNCHRONOUS, build_algorithm, describe
from nervenet.nodes.gossip.algorithms.robust import ClippedGossip, SelfCenteredClipping, TrimmedMean
from nervenet.nodes.gossip.algorithms.tracking import GradientTracking
from nervenet.nodes.topology import Schedule, incoming, schedule
from nervenet.nodes.topology.mixing import metropolis_hastings, weigh
from numpy.typing import NDArray

Gradients = Callable[[str, NDArray[Any]], NDArray[Any]]
CODECS = ["", "float16", "bfloat16", "int8", "int4", "top-k:0.3", "top-k:0.3+int8", "deflate", "delta+top-k:0.5"]


def still(_name: str, x: NDArray[Any]) -> NDArray[Any]:
    return np.zeros_like(x)


class Run:
    """Peers that take gradient steps and gossip, without a network; any message may be lost."""

    def __init__(self, algorithm: Algorithm, graph: Schedule, starts: Mapping[str, NDArray[Any]]) -> None:
        self.algorithm = algorithm
        self.graph = graph
        self.models = dict(starts)
        common = np.zeros_like(next(iter(starts.values())))
        self.states = {name: algorithm.init(x, common) for name, x in starts.items()}
        self.whole: dict[str, set[str]] = {name: set() for name in starts}
        self.number = 0

    def round(
        self,
        gradients: Gradients = still,
        rate: float = 0.1,
        steps: int = 1,
        lost: Callable[[str, str], bool] = lambda *_: False,
    ) -> None:
        self.number += 1
        out = self.graph.out(self.number)
        sent: dict[str, Any] = {}
        for name, before in self.models.items():
            correction = self.algorithm.correction(self.states[name])
            after = before
            for _ in range(steps):
                g = gradients(name, after)
                after = after - rate * (g if correction is None else g + correction)
            rng = np.random.default_rng([self.number, ord(name)])
            whole = tuple(sorted(self.whole[name]))
            progress = Progress(before, after, steps * rate, out[name], whole, rng)
            self.states[name], sent[name] = self.algorithm.outgoing(self.states[name], progress)
        for name, senders in incoming(out).items():
            inbox = {}
            for peer in senders:
                item = sent[peer].apart.get(name, sent[peer].common)
                if lost(peer, name):
                    continue
                vector = item.vector
                if item.encoding:
                    vector = self.algorithm.compressor.decode(vector, self.models[name].size, vector_dtype(self))
                inbox[peer] = Incoming(vector, item.mass, item.base, bool(item.encoding))
            if self.algorithm.needs.doubly:
                row = {j: w for j, w in weigh(self.graph, self.number, doubly=True)[name].items() if j in inbox}
                row = dict(sorted({**row, name: 1.0 - sum(row.values())}.items()))
            else:
                row = dict.fromkeys(sorted([*inbox, name]), 1 / (1 + len(inbox)))
            stepped = self.algorithm.step(self.states[name], sent[name].common.vector, inbox, row)
            self.states[name], self.models[name] = stepped.state, stepped.weights
            for peer in stepped.wanted:
                self.whole[peer].add(name)
            for peer in senders:
                if peer in inbox and not inbox[peer].encoded:
                    self.whole[peer].discard(name)

    @property
    def mean(self) -> NDArray[Any]:
        return np.mean(list(self.models.values()), axis=0)

    @property
    def spread(self) -> float:
        return max(float(np.abs(x - self.mean).max()) for x in self.models.values())


def vector_dtype(run: Run) -> Any:
    return next(iter(run.models.values())).dtype


def starts(names: str, size: int = 6, seed: int = 0) -> dict[str, NDArray[Any]]:
    return {name: np.random.default_rng([seed, i]).normal(size=size) for i, name in enumerate(names)}


def scalars(**values: float) -> dict[str, NDArray[Any]]:
    return {name: np.array([value]) for name, value in values.items()}


def values(run: Run) -> dict[str, float]:
    return {name: pytest.approx(float(x[0]), abs=1e-14) for name, x in run.models.items()}


# -------------------------------------------------------------------------------------------------------------- by hand

RING = schedule("ring", "abcd")  # each third: oneself and two neighbors


def test_dpsgd_trains_and_then_mixes() -> None:
    run = Run(DPSGD(), RING, scalars(a=0.0, b=3.0, c=6.0, d=9.0))
    run.round(lambda name, x: np.array([30.0 if name == "a" else 0.0]), rate=0.1)
    # a steps to -3 first; a hears b, d; b hears a, c; c hears b, d; d hears a, c
    assert values(run) == {"a": 3.0, "b": 2.0, "c": 6.0, "d": 4.0}


def test_epidemic_learning_averages_over_whoever_has_sent() -> None:
    run = Run(Epidemic(), RING, scalars(a=0.0, b=3.0, c=6.0, d=9.0))
    run.round(lost=lambda sender, receiver: (sender, receiver) == ("d", "a"))
    assert values(run) == {"a": 1.5, "b": 3.0, "c": 6.0, "d": 5.0}


def test_push_sum_on_a_path_that_is_one_way_and_back(tmp_path: Any) -> None:
    file = tmp_path / "edges"
    file.write_text("directed\na b\nb c\nc a\na c\n")
    graph = schedule("edges", "abc", edges=str(file))
    run = Run(SGP(), graph, scalars(a=6.0, b=0.0, c=3.0))
    run.round()
    # a keeps a third and gives b and c one each; b and c keep half and give half.
    assert [float(run.states[n]["mass"]) for n in "abc"] == pytest.approx([1 / 3 + 1 / 2, 1 / 3 + 1 / 2, 1 / 3 + 1])
    assert values(run) == {"a": 3.5 / (5 / 6), "b": 2.0 / (5 / 6), "c": (2.0 + 0.0 + 1.5) / (4 / 3)}
    for _ in range(80):
        run.round()
    assert run.spread < 1e-12
    assert float(run.mean[0]) == pytest.approx(3.0, abs=1e-12)


def test_push_sum_moves_what_is_pushed_by_what_training_moved_the_ratio() -> None:
    run = Run(SGP(), schedule("one-peer-exponential", "ab"), scalars(a=4.0, b=2.0))
    run.round(lambda name, x: np.array([10.0 if name == "a" else 0.0]), rate=0.1)
    assert values(run) == {"a": 2.5, "b": 2.5}


def test_choco_moves_towards_copies() -> None:
    """With a lossless codec the copies are the models, and the step is γ of a mixing step."""
    run = Run(Choco(gamma=0.5), RING, scalars(a=0.0, b=3.0, c=6.0, d=9.0))
    run.round()
    assert values(run) == {"a": 2.0, "b": 3.0, "c": 6.0, "d": 7.0}


def test_choco_sends_what_is_not_known_yet() -> None:
    choco = Choco(gamma=1.0, codec="top-k:0.5")
    run = Run(choco, schedule("complete", "ab"), {"a": np.array([4.0, 1.0]), "b": np.array([0.0, 0.0])})
    run.round()
    assert run.states["a"]["copy/"].tolist() == [4.0, 0.0], "the larger of two elements goes"
    assert run.states["b"]["copy/a"].tolist() == [4.0, 0.0]
    assert run.models["a"].tolist() == [2.0, 1.0]
    assert run.models["b"].tolist() == [2.0, 0.0]


def test_tracking_by_its_pseudocode() -> None:
    """K-GT, two local steps, against the three lines of its algorithm written down in matrices."""
    names, W = "abcd", np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]) / 3
    centers = np.array([[0.0], [3.0], [6.0], [-1.0]])
    run = Run(GradientTracking(exchange_step=0.8), RING, scalars(a=0.0, b=3.0, c=6.0, d=9.0))
    x, c = np.array([[0.0], [3.0], [6.0], [9.0]]), np.zeros((4, 1))
    for _ in range(5):
        run.round(lambda name, v: v - centers[names.index(name)], rate=0.1, steps=2)
        y = x
        for _ in range(2):
            y = y - 0.1 * (y - centers + c)
        z = (x - y) / 0.2
        c = c - z + W @ z
        x = W @ (x - 0.8 * 0.2 * z)
    assert np.allclose([run.models[n] for n in names], x, atol=1e-13)
    assert np.allclose([run.states[n]["correction"] for n in names], c, atol=1e-13)


def test_one_step_tracking_is_gnsd() -> None:
    """y <- W y + g - g', x <- W (x - η y)."""
    names, W = "abcd", np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]) / 3
    centers = np.array([[0.0], [3.0], [6.0], [-1.0]])
    run = Run(GradientTracking(), RING, scalars(a=0.0, b=3.0, c=6.0, d=9.0))
    x = np.array([[0.0], [3.0], [6.0], [9.0]])
    g = y = x - centers
    for _ in range(6):
        run.round(lambda name, v: v - centers[names.index(name)], rate=0.1)
        x = W @ (x - 0.1 * y)
        y = W @ y + (x - centers) - g
        g = x - centers
    assert np.allclose([run.models[n] for n in names], x, atol=1e-13)


@pytest.mark.parametrize("lazy", [True, False])
def test_d2_by_its_pseudocode(lazy: bool) -> None:
    names = "abc"
    W = np.full((3, 3), 1 / 3)
    W = (np.eye(3) + W) / 2 if lazy else W
    centers = np.array([[0.0], [3.0], [7.0]])
    run = Run(D2(lazy=lazy), schedule("ring", names), scalars(a=1.0, b=2.0, c=4.0))
    x, past = np.array([[1.0], [2.0], [4.0]]), None
    for _ in range(6):
        run.round(lambda name, v: v - centers[names.index(name)], rate=0.1)
        g = x - centers
        half = x - 0.1 * g if past is None else 2 * x - past[0] - 0.1 * g + 0.1 * past[1]
        past = (x, g)
        x = W @ half
    assert np.allclose([run.models[n] for n in names], x, atol=1e-13)


def test_self_centered_clipping_goes_no_further_than_the_radius() -> None:
    run = Run(SelfCenteredClipping(radius=1.5), RING, scalars(a=0.0, b=1.0, c=0.0, d=100.0))
    run.round()
    assert values(run)["a"] == pytest.approx((1.0 + 1.5) / 3)


def test_clipped_gossip_takes_its_radius_from_the_nearer_neighbors() -> None:
    run = Run(ClippedGossip(byzantine=1), RING, scalars(a=0.0, b=1.0, c=0.0, d=100.0))
    run.round()
    # δ = 1/3, the nearer neighbor of a is b: τ² = 3 (1/3 · 1²) = 1
    assert values(run)["a"] == pytest.approx((1.0 + 1.0) / 3)


def test_trimmed_mean_leaves_out_the_extremes_and_keeps_ones_own() -> None:
    run = Run(TrimmedMean(byzantine=1), schedule("complete", "abcde"), scalars(a=50.0, b=1.0, c=2.0, d=4.0, e=-99.0))
    run.round()
    assert values(run)["a"] == (50.0 + 1.0 + 2.0) / 3
    assert values(run)["e"] == (-99.0 + 2.0 + 4.0) / 3


def test_with_too_few_messages_trimming_takes_nobodys_word() -> None:
    run = Run(TrimmedMean(byzantine=1), schedule("complete", "abcd"), scalars(a=5.0, b=1.0, c=2.0, d=4.0))
    run.round(lost=lambda sender, receiver: receiver == "a" and sender == "b")
    assert values(run)["a"] == 5.0


# ----------------------------------------------------------------------------------------------------- what they keep

KEEP_THE_MEAN = [DPSGD(), Choco(codec="top-k:0.3+int8"), Choco(codec="int4", gamma=0.4), GradientTracking(), D2()]


@settings(max_examples=12, deadline=None)
@given(
    algorithm=st.sampled_from(KEEP_THE_MEAN),
    graph=st.sampled_from(["ring", "star", "complete", "line", "random-regular"]),
    n=st.sampled_from([4, 6]),
    seed=st.integers(0, 10**6),
)
def test_the_mean_is_what_gradients_alone_would_make_of_it(algorithm: Any, graph: str, n: int, seed: int) -> None:
    names = "abcdefgh"[:n]
    run = Run(algorithm, schedule(graph, names, seed=seed), starts(names, seed=seed))
    total = run.mean
    for _ in range(10):
        models = dict(run.models)
        run.round(lambda name, x: np.full_like(x, ord(name) % 5), rate=0.05)
        total = total - 0.05 * np.mean([np.full_like(models[name], ord(name) % 5) for name in names], axis=0)
        assert np.abs(run.mean - total).max() <= 1e-12


@settings(max_examples=12, deadline=None)
@given(
    graph=st.sampled_from(["ring", "static-exponential", "one-peer-exponential", "epidemic-local", "base-k"]),
    n=st.sampled_from([4, 5, 7]),
    seed=st.integers(0, 10**6),
    loss=st.sampled_from([0.0, 0.2, 0.7]),
)
def test_mass_is_conserved_on_any_graph_whatever_is_lost(graph: str, n: int, seed: int, loss: float) -> None:
    """What is not with a peer is on an edge, as what one end has given beyond what the other has had."""
    names = "abcdefgh"[:n]
    made = schedule(graph, names, seed=seed) if graph == "epidemic-local" else schedule(graph, names)
    run = Run(SGP(), made, starts(names, seed=seed))
    total, rng = run.mean * n, np.random.default_rng(seed)
    for _ in range(30):
        run.round(lost=lambda *_: rng.random() < loss)
        states = run.states
        held = sum(float(states[name]["mass"]) for name in names)
        owed = sum(sum(balance(states[name]).values()) for name in names)
        assert held + owed == pytest.approx(n, abs=1e-12)
        x = sum(states[name]["numerator"] for name in names)
        for name in names:
            for peer in names:
                x = x + states[name].get(f"sent/{peer}", 0.0) - states[peer].get(f"received/{name}", 0.0)
        assert np.abs(x - total).max() <= 1e-12
        assert all(float(states[name]["mass"]) > 0 for name in names)
    for _ in range(150):
        run.round()
    assert np.abs(run.mean - total / n).max() <= 1e-12, "once messages arrive again, all of it is there"
    assert run.spread < 1e-6


def test_the_mass_of_a_dead_peer_is_accounted_for_by_name() -> None:
    run = Run(SGP(), schedule("complete", "abcd"), starts("abcd"))
    for _ in range(3):
        run.round(lost=lambda sender, _: sender == "d" or sender == "a")
    living = "abc"
    held = sum(float(run.states[name]["mass"]) for name in living)
    between = sum(balance(run.states[i])[j] for i in living for j in living if i != j)
    taken = 1.0 + sum(balance(run.states[name])["d"] for name in living)
    assert held + between + taken == pytest.approx(4.0, abs=1e-12)
    for name in living:
        run.states[name] = SGP().forget(run.states[name], "d")
        assert not any(key.startswith(("sent/d", "received/d")) for key in run.states[name])
    assert 1.0 + sum(balance(run.states[name])["d"] for name in living) == pytest.approx(taken, abs=1e-12)


def test_sums_that_grew_alike_are_one_in_memory() -> None:
    run = Run(SGP(), schedule("complete", "abcd"), starts("abcd"))
    for _ in range(3):
        run.round()
    state = run.states["a"]
    assert state["sent/b"] is state["sent/c"] is state["sent/d"]


@pytest.mark.parametrize("codec", CODECS)
def test_choco_keeps_the_mean_and_agrees_with_any_codec(codec: str) -> None:
    run = Run(Choco(codec=codec, gamma=0.3), schedule("ring", "abcde"), starts("abcde", 20))
    mean = run.mean
    for _ in range(400):
        run.round()
    assert np.abs(run.mean - mean).max() <= 1e-12
    assert run.spread < 1e-3
    for sender, receivers in run.graph.out(1).items():
        for receiver in receivers:
            assert (run.states[receiver][f"copy/{sender}"] == run.states[sender]["copy/"]).all()


def test_choco_agrees_at_the_gamma_of_its_theorem() -> None:
    rows = metropolis_hastings(schedule("ring", "abcd").out(1))
    W = np.array([[rows[i].get(j, 0.0) for j in "abcd"] for i in "abcd"])
    eigenvalues = np.linalg.eigvalsh(W)
    gap, beta = 1 - float(np.sort(np.abs(eigenvalues))[-2]), float(np.abs(1 - eigenvalues).max())
    quality = 0.5  # arXiv 1902.00340, Theorem 2
    gamma = gap**2 * quality / (16 * gap + gap**2 + 4 * beta**2 + 2 * gap * beta**2 - 8 * gap * quality)
    run = Run(Choco(codec="top-k:0.5", gamma=gamma), RING, starts("abcd", 10))
    before = run.spread
    for _ in range(1500):
        run.round()
    assert run.spread < 1e-2 * before


def test_copies_that_went_apart_are_found_out_and_made_whole() -> None:
    run = Run(Choco(codec="top-k:0.2"), RING, starts("abcd", 20))
    for number in range(12):
        run.round(lost=lambda sender, receiver, n=number: n == 3 and (sender, receiver) == ("a", "b"))
    assert run.states["b"]["version/a"] == run.states["a"]["version/"] == 12
    assert (run.states["b"]["copy/a"] == run.states["a"]["copy/"]).all()


def test_a_lost_difference_that_is_not_noticed_would_leave_copies_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import nervenet.nodes.gossip.algorithms.choco as module

    monkeypatch.setattr(module, "int", lambda *_: 0, raising=False)  # every copy claims to be the first
    with pytest.raises(AssertionError):
        test_copies_that_went_apart_are_found_out_and_made_whole()


@pytest.mark.parametrize("name", ["dpsgd", "epidemic", "sgp", "choco", "self-centered-clipping", "trimmed-mean"])
def test_peers_agree(name: str) -> None:
    run = Run(build_algorithm(name, {}), schedule("complete", "abcdef"), starts("abcdef"))
    for _ in range(60):
        run.round()
    assert run.spread < 1e-9


def test_unlike_data_lead_tracking_and_d2_to_the_optimum_and_dpsgd_astray() -> None:
    """f_i = k_i/2 (x - c_i)²: with k unlike as well as c, the mean of the optima is not the optimum."""
    k, c = dict(zip("abcd", (1.0, 4.0, 2.0, 0.5), strict=True)), dict(zip("abcd", (0.0, 5.0, -3.0, 8.0), strict=True))
    optimum = sum(k[n] * c[n] for n in "abcd") / sum(k.values())

    def after(algorithm: Algorithm, steps: int) -> float:
        run = Run(algorithm, RING, scalars(a=0.0, b=0.0, c=0.0, d=0.0))
        for _ in range(800):
            run.round(lambda name, x: k[name] * (x - c[name]), rate=0.05, steps=steps)
        return max(abs(float(x[0]) - optimum) for x in run.models.values())

    assert after(DPSGD(), 5) > 0.3
    assert after(GradientTracking(), 5) < 1e-9
    assert after(GradientTracking(), 1) < 1e-9
    assert after(D2(), 1) < 1e-9


@pytest.mark.parametrize("algorithm", [ClippedGossip(byzantine=1), TrimmedMean(byzantine=1)])
def test_one_who_lies_does_not_lead_the_honest_away(algorithm: Algorithm) -> None:
    run = Run(algorithm, schedule("complete", "abcdef"), starts("abcdef"))
    honest = np.array([run.models[n] for n in "abcde"])
    for _ in range(30):
        run.models["f"] = np.full(6, 1e6)
        run.round()
    for name in "abcde":
        assert np.abs(run.models[name] - honest.mean(axis=0)).max() < 2.0


# ---------------------------------------------------------------------------------------------------- names and words


def test_each_name_is_described_with_its_paper() -> None:
    reported = {each.name: each for each in describe()}
    assert set(reported) == set(SYNCHRONOUS)
    for name, each in reported.items():
        assert "arXiv" in each.details or "arXiv" in each.summary, name
        assert ALGORITHMS[name].needs


def test_an_eigenvalue_that_is_too_small_is_named() -> None:
    out = schedule("ring", "abcd").out(1)
    with pytest.raises(AlgorithmError, match=r"above -1/3, and is -0\.3333; expected gossip\.lazy = true"):
        D2(lazy=False).check(out, metropolis_hastings(out))
    D2(lazy=True).check(out, metropolis_hastings(out))


def test_nothing_that_is_given_is_modified() -> None:
    for name in SYNCHRONOUS:
        if name in ("trimmed-mean", "clipped-gossip"):
            continue
        run = Run(build_algorithm(name, {}), RING, starts("abcd"))
        for _ in range(3):
            for x in [*run.models.values(), *(a for state in run.states.values() for a in state.values())]:
                x.setflags(write=False)
            run.round(lambda _, x: x)

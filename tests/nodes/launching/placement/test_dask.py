"""The way into a Dask cluster: what is refused, by name and within a deadline."""

import asyncio
import socket
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace

import pytest
from nervenet.nodes import ExperimentError, load_experiment
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.placement import dask_cluster
from nervenet.nodes.launching.placement.dask_cluster import _check_link, _check_versions, _reached, _reaches
from nervenet.nodes.launching.placement.dask_executor import DaskExecutor
from nervenet.nodes.launching.placement.executor import Wanted, open_engine
from nervenet.nodes.launching.placement.placing import Placing

pytest.importorskip("distributed")

QUICK = {"data.name": "iris", "rounds": 3, "nodes": 3, "evaluation.baseline": False}


def _ignore(_: object) -> None:
    return None


async def test_a_scheduler_that_is_not_there_is_said_within_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "CONNECT_S", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        opening = open_engine(load_experiment(None, {**QUICK, "cluster.on": f"dask://{address}"}), None, None, _ignore)
        assert opening is not None
        with pytest.raises(ExperimentError, match=f"no Dask scheduler answers at tcp://{address} within 0.2 s"):
            async with opening:
                raise AssertionError("nothing to open")


def test_unknown_engines_are_named() -> None:
    with pytest.raises(ExperimentError, match=r"cluster\.on = 'dusk': expected one of dask.*did you mean dask"):
        open_engine(Experiment.from_dict({"cluster": {"on": "dusk://10.0.0.1:1"}}), None, None, _ignore)
    assert open_engine(Experiment(), None, None, _ignore) is None


class Workers:
    """A client whose workers have these versions of nervenet."""

    def __init__(self, **found: object) -> None:
        self.found = found

    async def run(self, *_: object, on_error: str) -> dict[str, object]:
        assert on_error == "return"
        return self.found


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ("0.0.1", r"worker one has nervenet 0\.0\.1, and this is .*: install the same there"),
        (PackageNotFoundError("nervenet"), r"worker one has no nervenet, and this is .*pip install"),
        (OSError("closed"), "worker one cannot be asked for its nervenet: closed"),
    ],
)
def test_workers_with_another_nervenet_are_refused_by_name(found: object, named: str) -> None:
    with pytest.raises(ExperimentError, match=named):
        asyncio.run(_check_versions(Workers(one=found, two=version("nervenet")), {"one": 1, "two": 1}))  # type: ignore[arg-type]


def test_a_link_that_strangers_could_read_is_refused_unless_somebody_says_insecure() -> None:
    beyond = ["tls://192.0.2.7:8786", "tcp://192.0.2.8:5000"]
    experiment = Experiment.from_dict({})
    with pytest.raises(ExperimentError, match=r"the link to tcp://192\.0\.2\.8:5000 is not encrypted.*--insecure"):
        _check_link(beyond, experiment)
    _check_link(beyond[:1], experiment)
    _check_link(["tcp://127.0.0.1:8786"], experiment)
    _check_link(beyond, replace(experiment, network=replace(experiment.network, insecure=True)))


def test_the_launcher_listens_where_workers_reach_it() -> None:
    experiment = Experiment.from_dict({})
    assert _reached(experiment, "tcp://127.0.0.1:8786", {"tcp://127.0.0.1:5": 1}) is experiment
    beyond = _reached(experiment, "tcp://127.0.0.1:8786", {"tls://192.0.2.7:5": 1}).network
    assert beyond.bind == "127.0.0.1", "the address from which this machine reaches the scheduler"
    said = Experiment.from_dict({"network": {"bind": "192.0.2.1"}})
    assert _reached(said, "tls://192.0.2.7:8786", {}) is said
    with pytest.raises(ExperimentError, match=r"network\.transport = 'ipc': stays on one machine"):
        _reached(Experiment.from_dict({"network": {"transport": "ipc"}}), "tcp://127.0.0.1:1", {})


def test_a_worker_that_comes_later_from_elsewhere_must_reach_the_launcher_over_a_safe_link() -> None:
    here, there = (Experiment.from_dict({"network": {"bind": bind}}) for bind in ("127.0.0.1", "192.0.2.1"))
    assert _reaches(here)("tcp://127.0.0.1:5") == ""
    assert "listens on 127.0.0.1 alone" in _reaches(here)("tls://192.0.2.7:5")
    assert _reaches(there)("tls://192.0.2.7:5") == ""
    assert _reaches(there)("tcp://192.0.2.7:5") == "its link is not encrypted"


def test_an_address_may_say_how_its_link_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Wanted] = []
    monkeypatch.setattr(dask_cluster, "open_dask", asked.append)
    for on in ("dask", "dask://h:1", "dask+tls://h:1"):
        open_engine(Experiment.from_dict({"cluster": {"on": on}}), None, None, _ignore)
    assert [wanted.address for wanted in asked] == ["", "h:1", "tls://h:1"]


def test_rows_at_workers_are_for_an_engine_and_for_a_process_each() -> None:
    there = Experiment.from_dict({"cluster": {"data": "workers"}})
    with pytest.raises(ExperimentError, match=r"cluster\.data = 'workers': lies at the workers of an engine"):
        open_engine(there, None, None, _ignore)
    with pytest.raises(ExperimentError, match="data: lies at the workers of an engine"):
        open_engine(Experiment(), None, object(), _ignore)
    with pytest.raises(ExperimentError, match="data: expected a Dask DataFrame, found list"):
        asyncio.run(dask_cluster._sites(None, Experiment(), []))  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match=r"expected data\.sites"):
        asyncio.run(dask_cluster._sites(None, there, None))  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="processes = 2: expected one for each of the 3 sites"):
        dask_cluster._with_own_rows(Experiment.from_dict({"nodes": 3, "processes": 2}))


class FutureCancelledError(Exception):
    """As Dask calls it that it has forgotten a task."""


class KilledWorker(Exception):
    """As Dask calls it that the workers of a task died."""


@pytest.mark.parametrize(
    ("error", "ended", "died"),
    [
        (FutureCancelledError("key cancelled\nTry again."), [], ["the Dask scheduler has gone, or the tasks of this"]),
        (
            KilledWorker("4 died\nSee the logs."),
            [(0, "its workers died, one after another: 4 died")],
            [],
        ),
        (ValueError("no\nnot at all"), [(0, "given up by Dask: ValueError: no")], []),
    ],
)
async def test_what_dask_says_of_a_task_is_said_in_a_line(
    error: Exception, ended: list[tuple[int, str]], died: list[str]
) -> None:
    placing = Placing(60.0, "1")
    placing.wanted(0, ("client-0",), 0.0)
    executor = DaskExecutor(SimpleNamespace(id="c"), Experiment(), placing, {})  # type: ignore[arg-type]
    told: list[tuple[int, int | str]] = []
    gone: list[str] = []
    executor.exited, executor.died = lambda *how: told.append(how), gone.append
    future = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    await executor._follow(0, future)
    assert told == ended
    assert [reason[: len(died[0])] for reason in gone] == died


async def close_of_one_that_was_never_attached() -> None:
    """What was refused between the connection and the start, as data that are not there, is said by its own reason."""

    def unknown(topic: str) -> None:
        raise ValueError(f"No event handler known for topic {topic}.")  # as Dask has it

    async def cancel(futures: list[object], *, force: bool) -> None:
        assert (futures, force) == ([], True)

    client = SimpleNamespace(id="c", unsubscribe_topic=unknown, cancel=cancel)
    await DaskExecutor(client, Experiment(), Placing(60.0, "1"), {}).close()  # type: ignore[arg-type]


async def test_an_executor_that_was_never_attached_is_closed_without_a_word() -> None:
    await close_of_one_that_was_never_attached()


async def test_what_dask_knows_nothing_of_would_else_take_the_place_of_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nervenet.nodes.launching.placement.dask_executor.suppress", lambda *_: nullcontext())
    with pytest.raises(ValueError, match="No event handler"):
        await close_of_one_that_was_never_attached()

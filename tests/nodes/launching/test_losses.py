"""Who is lost with whom, and which losses end a run."""

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.losses import Losses, RunAborted
from nervenet.nodes.launching.regions.plan import regions_of, roles_of

CLIENTS = ["client-0", "client-1", "client-2"]


class Run:
    """Its losses, and what is told of them."""

    def __init__(self, *, needed: int = 1, begun: bool = True, regions: int | None = None) -> None:
        experiment = Experiment.from_dict({"nodes": 3, "hierarchy": {"regions": regions} if regions else {}})
        roles = roles_of(experiment)
        self.told: list[tuple[str, str]] = []
        ready = set(roles) if begun else set()
        on_lost = lambda node, reason: self.told.append((node, reason))  # noqa: E731
        self.losses = Losses(roles, regions_of(experiment, "r"), ready, needed, on_lost)

    def lose(self, *nodes: str) -> None:
        for node in nodes:
            self.losses.lose(node, "killed by SIGKILL")


def test_a_node_is_lost_once_and_by_its_first_reason() -> None:
    run = Run()
    run.losses.lose("client-1", "killed by SIGKILL")
    run.losses.lose("client-1", "gave no result")
    assert run.told == [("client-1", "killed by SIGKILL")]
    assert run.losses.lost == dict(run.told)
    assert run.losses.survivors() == {"coordinator", "client-0", "client-2"}
    run.losses.check()


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (["coordinator"], "coordinator: killed by SIGKILL"),
        (CLIENTS, "every node was lost; client-0: killed by SIGKILL"),
    ],
)
def test_without_a_coordinator_or_any_client_a_run_cannot_go_on(lost: list[str], reason: str) -> None:
    run = Run()
    run.lose(*lost)
    with pytest.raises(RunAborted, match=reason):
        run.losses.check()


def test_a_run_begins_without_those_that_it_does_not_need() -> None:
    run = Run(needed=2, begun=False)
    run.lose("client-0")
    run.losses.check()
    run.lose("client-2")
    few = r"client-2: killed by SIGKILL before the run began; 1 nodes are left, and network.min_nodes = 2"
    with pytest.raises(RunAborted, match=few):
        run.losses.check()


def test_one_that_has_begun_goes_on_with_fewer() -> None:
    run = Run(needed=3)
    run.lose("client-0", "client-2")
    run.losses.check()


def test_an_aggregator_is_lost_with_its_clients() -> None:
    run = Run(regions=2)  # client-0; client-1 and client-2
    run.lose("region-1")
    why = "its aggregator, region-1, was lost"
    assert run.told == [("region-1", "killed by SIGKILL"), ("client-1", why), ("client-2", why)]
    run.losses.check()


def test_without_any_region_nobody_is_left_to_train() -> None:
    run = Run(regions=2)
    run.lose("region-0", "region-1")
    with pytest.raises(RunAborted, match="every node was lost; region-0: killed by SIGKILL"):
        run.losses.check()


def test_aggregators_that_lost_all_clients_train_nothing() -> None:
    run = Run(regions=2)
    run.lose(*CLIENTS)
    with pytest.raises(RunAborted, match="every node was lost"):
        run.losses.check()

"""Which client is in which region, and what the nodes there go by."""

from itertools import chain

import pytest
from nervenet.broker.enrollment import Enrollment
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching.jobs import group_job, hosted_nodes
from nervenet.nodes.launching.regions.placed import Placed
from nervenet.nodes.launching.regions.plan import Regions, at_the_top, in_a_region, regions_of, roles_of
from nervenet.nodes.launching.roll import from_job, new_enrollment, to_job


def plan(nodes: int = 5, regions: int | None = 2, **further: object) -> Experiment:
    hierarchy = {} if regions is None else {"hierarchy": {"regions": regions}}
    return Experiment.from_dict({"nodes": nodes, **hierarchy, **further})


@pytest.mark.parametrize(("nodes", "regions"), [(5, 2), (8, 3), (7, 7), (4, 1), (100, 12)])
def test_clients_are_divided_in_their_order_into_parts_as_equal_as_can_be(nodes: int, regions: int) -> None:
    found = list(regions_of(plan(nodes, regions)).clients.values())
    assert list(chain(*found)) == [name for name in roles_of(plan(nodes, regions)) if name.startswith("client-")]
    sizes = [len(clients) for clients in found]
    assert len(sizes) == regions
    assert max(sizes) - min(sizes) <= 1


def test_names_of_regions_sort_in_their_order_and_are_no_sites() -> None:
    assert list(regions_of(plan(12, 11)).clients) == [f"region-{n:02d}" for n in range(11)]
    sites = load_experiment(overrides={"data.sites": ["region-0.csv", "b.csv"], "hierarchy.regions": 2})
    assert list(regions_of(sites).clients.items()) == [("region-x-0", ["region-0"]), ("region-x-1", ["b"])]


def test_a_client_of_a_region_is_none_of_the_launched_run() -> None:
    divided, whole = regions_of(plan(4, 2), "demo"), regions_of(plan(4, None), "demo")
    assert [name for name in roles_of(plan(4, 2)) if divided.has(name)] == [f"client-{n}" for n in range(4)]
    assert not any(whole.has(name) for name in roles_of(plan(4, None)))


def test_a_launch_without_regions_is_as_it_was() -> None:
    alone = plan(regions=None)
    assert not regions_of(alone)
    assert at_the_top(alone) is alone
    assert "aggregator" not in roles_of(alone).values()
    gossip = plan(mode="gossip")
    assert set(roles_of(gossip).values()) == {"peer"}
    assert at_the_top(gossip) is gossip


def test_the_coordinator_counts_regions_and_a_region_its_clients() -> None:
    written = plan(federated={"participation": 0.5, "over_selection": 1.5, "quorum": 0.75}, init="m.json").resolved()
    top, below = at_the_top(written), in_a_region(written, 3)
    assert (top.nodes, top.min_nodes, top.process_count) == (2, 2, 2)
    assert (top.federated.participation, top.federated.over_selection, top.federated.quorum) == (1.0, 1.0, 0.75)
    assert (below.nodes, below.min_nodes, below.process_count) == (3, 3, 3)
    assert (below.federated.participation, below.federated.quorum) == (0.5, 0.75)
    assert (top.init, below.init) == ("m.json", None)
    assert below.hierarchy.regions == 2


def test_what_a_run_folder_holds_is_no_choice_of_clients_for_regions() -> None:
    assert plan(regions=None).derived()["federated.min_clients"] == 3
    assert "federated.min_clients" not in plan().derived()


def test_an_aggregator_has_no_rows_and_a_process_of_its_own() -> None:
    from nervenet.nodes.launching.data_shares import DataShares

    experiment = plan(processes=2)
    shares = DataShares((), "classification", 9, nodes=[10, 11, 12, 13, 14], test=15)
    found = list(hosted_nodes(experiment, roles_of(experiment), shares, -1))
    assert [group for group, _ in found[:3]] == [("coordinator",), ("region-0",), ("region-1",)]
    assert [descriptors for _, descriptors in found[:3]] == [[15, -1], [-1, -1], [-1, -1]]
    assert found[3] == (("client-0", "client-2", "client-4"), [-1, 10, 12, 14])


def test_each_node_is_told_the_run_that_it_takes_part_in() -> None:
    experiment = plan()
    regions = Regions(regions_of(experiment, "demo").all, {"region-1": {"control": "tcp://127.0.0.1:9"}})
    roles = roles_of(experiment)
    job = {"run": "demo", "report_server": {"control": "tcp://127.0.0.1:1"}, "experiment": experiment.to_dict()}

    def placed(name: str) -> Placed:
        [spec] = group_job(0, [name], roles, roles, regions, lambda *_: None, None)["nodes"]
        return Placed.of(job, spec, experiment)

    top, aggregator, client = placed("coordinator"), placed("region-1"), placed("client-4")
    assert (top.run, top.experiment.nodes, top.report_server) == ("demo", 2, job["report_server"])
    assert top.identity("tcp://127.0.0.1:5") == {}
    assert (aggregator.run, aggregator.role, aggregator.experiment.nodes) == ("demo/region-1", "coordinator", 3)
    assert (client.run, client.role, client.experiment.nodes) == ("demo/region-1", "client", 3)
    assert client.report_server == {"control": "tcp://127.0.0.1:9"}
    above = {"upstream": "tcp://127.0.0.1:5", "upstream_run": "demo"}
    assert aggregator.identity("tcp://127.0.0.1:5") == above | {"region": "region-1", "publishes_for": "demo"}


def enrolled() -> Enrollment:
    regions = regions_of(plan(4), "demo")
    enrollment = new_enrollment({"coordinator": "coordinator", **regions.aggregators}, regions.below)
    return from_job(to_job("demo", {}, enrollment))


@pytest.mark.parametrize(
    ("run", "node", "role", "is_let_in"),
    [
        ("demo", "region-0", "aggregator", True),
        ("demo", "region-0", "coordinator", False),
        ("demo/region-0", "region-0", "coordinator", True),
        ("demo/region-0", "region-0", "aggregator", False),
        ("demo/region-0", "client-1", "client", True),
        ("demo/region-0", "launcher", "launcher", True),
        ("demo/region-1", "client-1", "client", False),
        ("demo/region-1", "region-0", "coordinator", False),
    ],
)
def test_a_node_is_let_in_where_it_has_its_role_and_nowhere_else(
    run: str, node: str, role: str, is_let_in: bool
) -> None:
    enrollment = enrolled()
    proof = enrollment.proof(run, node, 1, "broker")
    refusal = enrollment.refusal(run, node, role, 1, proof, "broker")
    assert (refusal is None) == is_let_in, refusal
    other = Enrollment(enrollment.secret[::-1], enrollment.roles, enrollment.below)
    assert other.refusal(run, node, role, 1, proof, "broker")


def test_who_has_joined_a_region_may_publish_for_the_run_of_the_launch() -> None:
    assert enrolled().runs_of("demo/region-1") == ("demo/region-1", "demo")
    assert enrolled().runs_of("demo") == ("demo",)
    assert enrolled().runs_of("other/region-1") == ("other/region-1",)

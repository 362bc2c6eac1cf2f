"""As what a node publishes, and what of it."""

import pytest
from nervenet.nodes.runtime.identity import NodeIdentity
from nervenet.nodes.runtime.published import OF_OTHERS, is_of_launch, published_as

IN_A_REGION = NodeIdentity("tcp://127.0.0.1:1", "demo/north", "north", region="north", publishes_for="demo")
ALONE = NodeIdentity("tcp://127.0.0.1:1", "north", "north", upstream_run="demo")


def test_in_a_launch_all_events_are_of_its_run_and_a_region_has_no_coordinator_of_its_own() -> None:
    assert published_as(IN_A_REGION, "coordinator") == ("demo", "aggregator")
    assert published_as(IN_A_REGION, "client") == ("demo", "client")


def test_a_region_without_a_launcher_publishes_for_itself() -> None:
    assert published_as(ALONE, "coordinator") == ("north", "coordinator")
    assert is_of_launch(ALONE, "coordinator", "round.completed", {})


@pytest.mark.parametrize("kind", ["round.started", "round.completed", "metric.test", "node.ready", "node.joined"])
def test_the_rounds_of_a_region_are_those_of_the_launch_and_told_once(kind: str) -> None:
    assert not is_of_launch(IN_A_REGION, "coordinator", kind, {})
    assert is_of_launch(IN_A_REGION, "client", kind, {})


def test_what_becomes_of_a_regions_clients_is_told() -> None:
    assert is_of_launch(IN_A_REGION, "coordinator", "node.ready", {"subject": "oslo"})
    assert all(is_of_launch(IN_A_REGION, "coordinator", kind, {"subject": "oslo"}) for kind in OF_OTHERS)


def test_a_broker_with_keys_lets_an_aggregator_publish_what_it_does() -> None:
    from nervenet.broker.security.roles import PUBLISHERS

    assert all("aggregator" in PUBLISHERS[kind] for kind in OF_OTHERS | {"node.ready"})

"""Who a node may be."""

import pytest
from nervenet.broker.errors import ProtocolError
from nervenet.broker.events import check_event
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.launching.baselines import BASELINE
from nervenet.nodes.launching.broker_process import BROKER
from nervenet.nodes.runtime import identity
from nervenet.nodes.runtime.identity import NodeIdentity
from nervenet.nodes.runtime.report_client import REPORT_SERVER


@pytest.mark.parametrize("name", ["stream", REPORT_SERVER, BROKER, BASELINE])
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ExperimentError, match=f"'{name}'.*baseline, broker, launcher, stream are reserved"):
        NodeIdentity("tcp://127.0.0.1:1", "r", name)
    assert NodeIdentity("tcp://127.0.0.1:1", "r", f"{name}-0").name == f"{name}-0"


def test_a_node_of_that_name_would_be_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "RESERVED", frozenset())
    name = NodeIdentity("tcp://127.0.0.1:1", "r", "stream").name
    event = {"type": "t", "run": "r", "node": name, "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
    with pytest.raises(ProtocolError, match="no publisher"):
        check_event(event)

"""The numbers and formats that docs/protocol.md promises are those of the code."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from nervenet.broker.codec import DEPTH
from nervenet.broker.sockets import BULK_QUEUE, CONTROL_QUEUE, SOCKETS
from nervenet.models.describe.questions import WHAT
from nervenet.models.site_statistics import SiteStatistics, agree
from nervenet.models.weights import Layout
from nervenet.nodes.federated.coordinator_machine import FAILURES_IN_A_ROW
from nervenet.nodes.federated.sync_rounds import EXTENSIONS
from nervenet.nodes.gossip.round_machine import PATIENCE

PROTOCOL = " ".join((Path(__file__).parents[2] / "docs" / "protocol.md").read_text().split())
WORDS = {3: "three", 10: "ten"}


@pytest.mark.parametrize(
    "promise",
    [
        f"at most {CONTROL_QUEUE} messages (control) or {BULK_QUEUE} (bulk;",
        f"lists and maps more than {DEPTH} deep",
        f"nothing more than {DEPTH} deep",
        f"After {WORDS[FAILURES_IN_A_ROW]} failures in a row the run fails",
        f"never beyond {WORDS[EXTENSIONS]} times `deadline_s`",
        f"never beyond {WORDS[PATIENCE]} deadlines",
        f"A training that lasts {WORDS[PATIENCE]} deadlines ends the peer",
    ],
)
def test_the_code_keeps_the_numbers_of_the_document(promise):
    assert promise in PROTOCOL


def test_heartbeats_are_never_on_bulk_and_no_dealer_of_a_link_is_immediate():
    options = {kind: {option.name for option in row.options} for kind, row in SOCKETS.items()}
    assert not any(name.startswith("HEARTBEAT") for name in options["inbox.bulk"] | options["link.bulk"])
    assert "HEARTBEAT_IVL" in options["inbox.control"] & options["link.control"]
    assert {"ROUTER_MANDATORY", "ROUTER_HANDOVER"} <= options["inbox.bulk"] & options["inbox.control"]
    assert "IMMEDIATE" not in options["link.bulk"] | options["link.control"]


@pytest.mark.parametrize(
    ("y", "task", "more"), [(np.array([0, 1]), "classification", 0), (np.ones(2), "regression", 2)]
)
def test_a_survey_is_laid_out_as_described(y, task, more):
    X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    survey = SiteStatistics.of(X, y, ["a", "b", "c"], task)
    vector = survey.vector()
    assert vector.dtype == np.float64
    assert vector.size == 1 + 2 * 3 + more
    np.testing.assert_allclose(vector[:7], [2, 2, 2, 2, 2, 0, 2])
    described = PROTOCOL.split("### 6.1")[1].split("**Further questions.**")[0]
    omitted = {"written"}  # where there is nothing to say
    assert set(re.findall(r"\| `(\w+)` \|", described)) == set(survey.header()) | omitted
    agreement = agree({"site": survey}).to_dict()
    reported = described.split("is the **agreement**, a map of ")[1].split("Columns with other names")[0]
    assert set(re.findall(r"`(\w+)`", reported)) == set(agreement) | omitted


def test_a_layout_is_hashed_as_described():
    text = '[["w","b"],[[3,2],[2]],"float32"]'
    assert json.loads(text) == [["w", "b"], [[3, 2], [2]], "float32"]
    assert Layout(("w", "b"), ((3, 2), (2,)), "float32").hash == blake2b(text.encode(), digest_size=8).hexdigest()


def test_the_parts_of_a_description_are_those_that_are_described():
    described = PROTOCOL.split("**Descriptions**")[1].split("Dates are seconds since 1970")[0]
    assert re.findall(r" - `([a-z-]+)`", described) == list(WHAT)

"""What a site takes part in: a table of requests and policies."""

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.models.describe.asked import PARTS as DESCRIBED
from nervenet.models.pipeline.asked import PARTS as FITTED
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.config.site import AllowConfig
from nervenet.nodes.consent.decide import Request, decide
from nervenet.nodes.consent.in_words import conflicts, policy_lines
from nervenet.nodes.consent.requests import Policy, model_hash
from nervenet.nodes.consent.statistics import MEANING, UNKNOWN, told_by

SGD = "sklearn.linear_model.SGDClassifier"


@pytest.mark.parametrize(
    ("allow", "request_", "found"),
    [
        ({}, {"run": "any", "strategy": "", "rounds": 0, "clients": 0, "statistics": frozenset({UNKNOWN})}, None),
        ({"runs": ("retina-*",)}, {"run": "retina-2"}, None),
        ({"runs": ("retina-*",)}, {"run": "heart"}, "site.allow.runs: found run heart; allowed: retina-*"),
        ({"runs": ()}, {"run": "heart"}, "site.allow.runs: found run heart; allowed: none"),
        ({"strategies": ("fedavg", "fedp*")}, {"strategy": "fedprox"}, None),
        ({"strategies": ("fedavg",)}, {"strategy": None}, None),
        (
            {"strategies": ("fedavg",)},
            {"strategy": "fedadam"},
            "site.allow.strategies: found fedadam; allowed: fedavg",
        ),
        (
            {"strategies": ("*",)},
            {"strategy": ""},
            "site.allow.strategies: found none named by the coordinator; allowed: *",
        ),
        ({"models": ("SGDClassifier",)}, {"model": SGD}, None),
        ({"models": ("sklearn.*",)}, {"model": SGD}, None),
        ({"models": ("model:ab",)}, {"model": "mlp", "model_hash": "ab"}, None),
        ({"models": ("layout:cd",)}, {"model": "mlp", "layout": "cd"}, None),
        ({"models": ("layout:cd",)}, {"model": "mlp"}, None),  # before the first weights
        (
            {"models": ("layout:cd",)},
            {"model": "mlp", "layout": "ef", "model_hash": "ab"},
            "site.allow.models: found mlp (model:ab, layout:ef); allowed: layout:cd",
        ),
        ({"max_rounds": 20}, {"rounds": 20, "round": 20}, None),
        ({"max_rounds": 20}, {"rounds": 50}, "site.allow.max_rounds: found 50 rounds; allowed: 20 at most"),
        ({"max_rounds": 20}, {"rounds": 20, "round": 21}, "site.allow.max_rounds: found round 21; allowed: 20 at most"),
        (
            {"max_rounds": 20},
            {"rounds": 0},
            "site.allow.max_rounds: found no number named by the coordinator; allowed: 20 at most",
        ),
        ({"min_rows": 100}, {"rows": 100}, None),
        (
            {"min_rows": 100},
            {"rows": 99},
            "site.allow.min_rows: found fewer rows at this site; allowed: 100 at least",
        ),
        ({"min_clients": 3}, {"clients": 3}, None),
        ({"min_clients": 3}, {"clients": 2}, "site.allow.min_clients: found 2 clients; allowed: 3 at least"),
        (
            {"min_clients": 3},
            {"clients": 0},
            "site.allow.min_clients: found no number named by the coordinator; allowed: 3 at least",
        ),
        ({"statistics": ("moments",)}, {"statistics": frozenset({"moments"})}, None),
        (
            {"statistics": ("moments", "scores")},
            {"statistics": frozenset({"moments", "quantiles", "limits"})},
            "site.allow.statistics: found limits, quantiles; allowed: moments, scores",
        ),
    ],
)
def test_a_request_is_admitted_or_declined_by_its_key(
    allow: dict[str, Any], request_: dict[str, Any], found: str | None
) -> None:
    declined = decide(Request(**request_), AllowConfig(**allow))
    assert (declined and str(declined)) == found


def test_each_key_of_the_policy_is_decided_about() -> None:
    from dataclasses import fields

    from nervenet.nodes.consent.decide import CHECKS

    assert {field.name for field in fields(AllowConfig)} == set(CHECKS)


def test_each_question_that_is_asked_tells_something_that_has_a_name() -> None:
    asked = [{"ask": ask, "part": part} for ask, parts in (("fit", FITTED), ("describe", DESCRIBED)) for part in parts]
    asked += [{"ask": "model", "part": part} for part in ("trees", "histograms", "order", "categories of columns")]
    for question in [{}, {"ask": "statistics"}, {"ask": "class counts"}, *asked]:
        assert told_by(question) <= set(MEANING), question
    assert told_by({}, categories=True) == {"moments", "categories"}


@pytest.mark.parametrize(
    "question", [{"ask": "all rows"}, {"ask": 3}, {"ask": "fit"}, {"ask": "fit", "part": []}, {"ask": ["fit"]}]
)
def test_what_a_question_tells_that_nobody_knows_is_told_only_without_a_limit(question: dict[str, Any]) -> None:
    assert told_by(question) == {UNKNOWN}
    assert decide(Request(statistics=told_by(question)), AllowConfig(statistics=tuple(MEANING))) is not None
    assert decide(Request(statistics=told_by(question)), AllowConfig()) is None


def task(work: m.TaskKind = "train", **fields: Any) -> m.Task:
    given = {"round": 1, "attempt": 0, "deadline_s": 10.0, "evaluate": False, "settings": {}, "rounds": 20} | fields
    return m.Task(work=work, **given)


@pytest.mark.parametrize(
    ("allow", "asked", "key"),
    [
        ({"strategies": ("fedavg",)}, task(strategy="fedavg"), None),
        ({"strategies": ("fedavg",)}, task(), "site.allow.strategies"),
        ({"strategies": ("fedavg",)}, task("survey", question={"ask": "describe", "part": "columns"}), None),
        ({"min_clients": 2}, task(clients=2), None),
        ({"min_clients": 2}, task(), "site.allow.min_clients"),
        ({"max_rounds": 5}, task("survey"), "site.allow.max_rounds"),
        ({"max_rounds": 5}, task("finish"), None),  # nothing leaves the site
        ({"statistics": ("moments",)}, task("survey"), None),
        ({"statistics": ("moments",)}, task("survey", question={"ask": "class counts"}), "site.allow.statistics"),
        ({"statistics": ("moments",)}, task(evaluate=True), "site.allow.statistics"),
        ({"statistics": ("moments", "scores")}, task(evaluate=True), None),
        ({"statistics": ("scores",)}, task("evaluate"), "site.allow.statistics"),
        ({"statistics": ("scores", "reports")}, task("evaluate"), None),
        ({"statistics": ("scores",)}, task("alone"), "site.allow.statistics"),
    ],
)
def test_a_task_is_looked_at_whole(allow: dict[str, Any], asked: m.Task, key: str | None) -> None:
    declined = Policy(allow=AllowConfig(**allow), run="r", model="mlp", rows=10).of_task(asked)
    assert (declined and declined.key) == key


def test_a_command_line_that_its_own_policy_does_not_admit_is_refused() -> None:
    policy = Policy(allow=AllowConfig(runs=("a",)), run="b")
    with pytest.raises(ExperimentError, match=r"site.allow.runs: found run b; allowed: a; the site's own policy"):
        policy.check()


def test_a_model_has_a_hash_by_name_and_parameters() -> None:
    one, other = {"name": "mlp", "parameters": {"hidden": [64]}}, {"parameters": {"hidden": [32]}, "name": "mlp"}
    assert model_hash(one) == model_hash(dict(reversed(one.items())))
    assert model_hash(one) != model_hash(other)
    assert len(model_hash(one)) == 16


def test_policies_and_requests_are_told_in_plain_words() -> None:
    assert policy_lines(AllowConfig()) == ["anything: no policy is set ([site.allow])"]
    limited = AllowConfig(runs=("a", "b"), max_rounds=5, min_rows=9, min_clients=3, statistics=("limits",))
    assert policy_lines(limited) == [
        "runs: a, b",
        "runs of at most 5 rounds",
        "nothing with fewer than 9 rows of its own",
        "nothing with fewer than 3 sites together",
        "statistics: limits (least and greatest values)",
    ]
    experiment = Experiment.from_dict({"rounds": 7, "nodes": 3, "site": {"allow": {"max_rounds": 5}}})
    assert conflicts(experiment, "demo") == ["site.allow.max_rounds: found 7 rounds; allowed: 5 at most"]
    assert conflicts(Experiment.from_dict({"mode": "gossip"}), "demo") == []


@pytest.mark.parametrize(
    ("allow", "rows", "found"),
    [
        ({"models": ["model:d1507d62efbd7d6e"]}, None, []),
        ({"models": ["layout:d1507d62efbd7d6e"]}, None, []),
        ({"models": ["sklearn.*"]}, None, ["site.allow.models: found mlp; allowed: sklearn.*"]),
        ({"min_rows": 50}, None, []),
        ({"min_rows": 50}, 50, []),
        ({"min_rows": 50}, 49, ["site.allow.min_rows: found fewer rows at this site; allowed: 50 at least"]),
    ],
)
def test_before_a_run_only_what_is_known_is_declined(allow: dict[str, Any], rows: int | None, found: list[str]) -> None:
    experiment = Experiment.from_dict({"nodes": 3, "site": {"allow": allow}})
    assert conflicts(experiment, "demo", rows) == found

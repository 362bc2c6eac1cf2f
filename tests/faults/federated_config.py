"""Settings of a coordinator as tests give them: keys of all tables, side by side."""

from dataclasses import fields
from typing import Any

from nervenet.nodes.config.schema import EvaluationConfig, FederatedConfig, Timing
from nervenet.nodes.federated.coordinator_config import CoordinatorConfig

TABLES = {"timing": Timing, "federated": FederatedConfig}


def coordinator_config(clients: Any, rounds: int = 2, **given: Any) -> CoordinatorConfig:
    """Sort settings into their tables."""
    tables = {}
    for table, cls in TABLES.items():
        names = {field.name for field in fields(cls)} - {"strategy"}
        tables[table] = cls(**{name: given.pop(name) for name in names & set(given)})
    judged = {
        name: given.pop(name) for name in ("scorers", "until", "patience", "min_delta", "budget_s") if name in given
    }
    evaluation = EvaluationConfig(every=given.pop("evaluate_every", 1), **judged)
    return CoordinatorConfig(rounds=rounds, clients=frozenset(clients), evaluation=evaluation, **tables, **given)

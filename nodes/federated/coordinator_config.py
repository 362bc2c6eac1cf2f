"""All that steers a coordinator, in one frozen record: the experiment's tables, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..config.factory import final_task_settings, task_settings
from ..config.schema import EvaluationConfig, Experiment, FederatedConfig, Timing
from .early_stopping import StoppingRules
from .strategies import Strategy
from .strategies.averaging import FedAvg


@dataclass(frozen=True, kw_only=True)
class CoordinatorConfig:
    """All that steers a coordinator.

    Attributes
    ----------
    rounds, seed, federated, evaluation, timing
        As the experiment has them; `federated.compression` is spelled out.
    clients
        Who is waited for before the first round.
    strategy
        What makes the next model of the updates.
    stopping
        What may end the run before its last round.
    evaluate_test, evaluate_sites
        Whether there are rows of the coordinator's own, and clients' hold-outs, to judge the model on.
    settings, final_settings
        Of each task; what the last one has beside.
    """

    rounds: int
    clients: frozenset[str]
    seed: int = 0
    federated: FederatedConfig = field(default_factory=FederatedConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    timing: Timing = field(default_factory=Timing)
    strategy: Strategy = field(default_factory=FedAvg)
    stopping: StoppingRules = field(default_factory=StoppingRules)
    evaluate_test: bool = True
    evaluate_sites: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    final_settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, experiment: Experiment, clients: Collection[str], strategy: Strategy, *, has_test: bool) -> Self:
        """Return the configuration of an experiment's coordinator, which has test rows or has not."""
        from nervenet.models.compress import parse

        federated, evaluation = experiment.federated, experiment.evaluation
        if federated.compression:
            federated = replace(federated, compression=parse(federated.compression).spec)
        return cls(
            rounds=experiment.rounds,
            clients=frozenset(clients),
            seed=experiment.seed,
            federated=federated,
            evaluation=evaluation,
            timing=experiment.timing,
            strategy=strategy,
            stopping=StoppingRules.of(evaluation),
            evaluate_test=has_test,
            evaluate_sites=evaluation.sites or not has_test,
            settings={**task_settings(experiment), **strategy.demands.settings},
            final_settings=final_task_settings(experiment),
        )

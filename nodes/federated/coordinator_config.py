"""All that steers a coordinator, in one frozen record: the experiment's tables, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..config.factory import final_task_settings, task_settings
from ..config.schema import EvaluationConfig, Experiment, FederatedConfig, Timing
from .strategies import Strategy
from .strategies.averaging import FedAvg


@dataclass(frozen=True, kw_only=True)
class CoordinatorConfig:
    """All that steers a coordinator; the tables are the experiment's, with `federated.compression` spelled out."""

    rounds: int
    clients: frozenset[str]  # who is waited for before the first round
    seed: int = 0
    federated: FederatedConfig = field(default_factory=FederatedConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    timing: Timing = field(default_factory=Timing)
    strategy: Strategy = field(default_factory=FedAvg)
    alike: bool = False  # clients count alike, whatever their rows: what they send are sums over these
    evaluate_test: bool = True  # there are test rows at the coordinator
    evaluate_sites: bool = False  # clients have hold-outs, and judge the model on them
    site_matrix: bool = False  # each site's own model is judged at all sites, once the last round is over
    settings: Mapping[str, Any] = field(default_factory=dict)  # of each task
    final_settings: Mapping[str, Any] = field(default_factory=dict)  # of the last task beside
    first_question: Mapping[str, Any] = field(default_factory=dict)  # of round 0; empty: for the sites' statistics
    ordered: bool = False  # a coordinator above says which rounds there are
    origin: int = 0  # incarnation of the one at the top, by whose rounds those count; 0: there is none above
    needed: bool = True  # the round above fails without this region, or there is none above
    region_rounds: int = 1  # that are made of each round above
    region_deadline_s: float | None = None  # of such rounds; None: by what the tasks from above allow

    @property
    def wait_deadline_s(self) -> float:
        """How long a round waits for clients enough; by default as long as they wait for a coordinator."""
        return self.federated.wait_deadline_s or self.timing.rejoin_deadline_s

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        clients: Collection[str],
        strategy: Strategy,
        *,
        has_test: bool,
        model: object = None,
    ) -> Self:
        from nervenet.models.compress import parse
        from nervenet.models.model import is_summed

        federated, evaluation = experiment.federated, experiment.evaluation
        if experiment.nodes == 1 and federated.min_clients is None:
            federated = replace(federated, min_clients=1)  # who asks for a federation of one is given it
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
            alike=is_summed(model),
            evaluate_test=has_test,
            evaluate_sites=evaluation.sites or not has_test,
            site_matrix=evaluation.site_matrix is True and (evaluation.sites or not has_test),
            settings={**task_settings(experiment, model), **strategy.demands.settings},
            final_settings=final_task_settings(experiment),
        )

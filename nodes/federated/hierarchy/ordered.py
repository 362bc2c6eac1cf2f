"""What steers the coordinator of a region; pure."""

from __future__ import annotations

from dataclasses import replace

from ...config.hierarchy import HierarchyConfig
from ...config.schema import EvaluationConfig
from ..coordinator_config import CoordinatorConfig


def ordered_from_above(config: CoordinatorConfig, hierarchy: HierarchyConfig) -> CoordinatorConfig:
    """Return the configuration of a coordinator with another one above it: that one says which rounds there are."""
    return replace(
        config,
        ordered=True,
        region_rounds=hierarchy.region_rounds,
        region_deadline_s=hierarchy.deadline_s,
        evaluation=EvaluationConfig(),  # when to stop is decided above
        evaluate_test=False,
        evaluate_sites=True,
        site_matrix=False,
    )

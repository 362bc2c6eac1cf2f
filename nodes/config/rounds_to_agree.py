"""How many rounds of mixing it takes until peers whose models are sums over rows hold the sums of all."""

from __future__ import annotations

import math

from .factory import build_schedule, edge_list_members, node_names
from .schema import Experiment

LEFT = 1e-10
"""Of what the peers' sums differ by at first: then the models agree in about as many digits."""

MOST_PEERS = 500
"""The eigenvalues of a matrix of so many take a fifth of a second; beyond that nobody waits for them."""


def rounds_to_agree(experiment: Experiment) -> int | None:
    """Return the rounds after which `LEFT` is left of the differences between peers; None where that is not known.

    One where a coordinator takes the mean; else by the spectral gap of the mixing matrix. Then it imports NumPy.
    """
    gossip = experiment.gossip
    if experiment.mode == "federated":
        return 1
    if experiment.nodes > MOST_PEERS:
        return None
    from ..topology import TopologyError
    from ..topology.analysis import exact_after, rule_of, spectral_gap

    try:
        names = edge_list_members(gossip.edges or "", experiment.nodes) if gossip.edges else node_names(experiment)
        schedule = build_schedule(experiment, names)
        rule = gossip.mixing or ("push-sum" if gossip.algorithm == "sgp" else rule_of(gossip.topology, schedule))
        whole = exact_after(schedule, rule)
        share = 1.0 - spectral_gap(schedule, rule)
    except (TopologyError, ValueError):
        return None  # what is wrong with the graph is said where it is checked
    if whole is not None:
        return whole
    return math.ceil(math.log(LEFT) / math.log(share)) if 0.0 < share < 1.0 else None

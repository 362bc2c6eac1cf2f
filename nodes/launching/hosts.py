"""The processes of a launch that host several nodes each, and share an inbox: their names, which are no node's."""

from __future__ import annotations

import zmq
from nervenet.broker.codec import Limits
from nervenet.broker.hosting import Host
from nervenet.broker.security.plain import Plain
from nervenet.broker.sockets import Security

from ..config.factory import node_names
from ..config.schema import Experiment, NetworkConfig
from ..runtime.identity import inbox_address
from .launch_keys import has_keys

ROLE = "host"


def host_names(experiment: Experiment) -> list[str]:
    """Return a name for the launcher, for the coordinator's process, if any, and for each that hosts clients or peers.

    None where each node has a process of its own. With keys each node has its own sockets, too: a key speaks for one;
    and with regions.
    """
    network, count = experiment.network, experiment.process_count
    nodes = node_names(experiment)
    regions = experiment.hierarchy.regions is not None  # whose nodes are of other runs than an inbox that is shared
    if count >= len(nodes) or has_keys(experiment) or network.transport == "inproc" or regions:
        return []
    prefix = ROLE
    while any(name.startswith(f"{prefix}-") for name in nodes):
        prefix += "-x"
    server = [f"{prefix}-coordinator"] if experiment.mode == "federated" else []
    return [f"{prefix}-launcher", *server, *(f"{prefix}-{place}" for place in range(count))]


def host_of(
    name: str | None,
    run: str,
    network: NetworkConfig,
    security: Security,
    *,
    nodes: int = 1,
    context: zmq.Context[zmq.Socket[bytes]] | None = None,
) -> Host | None:
    """Return what several nodes of this process are reached through; None where each has its own sockets."""
    if not name or not isinstance(security, Plain):
        return None
    return Host(
        name,
        run,
        bind=inbox_address(network),
        nodes=nodes,
        advertise=network.advertise,
        limits=Limits(message_bytes=network.max_message_bytes),
        context=context,
        security=security,
        shared_memory=network.shared_memory,
    )

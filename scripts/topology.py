"""``nervenet topology``: the properties of a graph, before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nervenet.nodes.topology import Schedule
    from nervenet.nodes.topology.analysis import Measured

MOST = 2048  # nodes: the figures come from whole matrices


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--nodes", "-n", metavar="N", type=click.IntRange(1, MOST), help="Peers. [default: 16, or those in FILE]")
@click.option(
    "--degree", metavar="K", type=int, help="Neighbors of a peer, where the topology takes it. [default: 4; base-k: 1]"
)
@click.option(
    "--probability",
    metavar="P",
    type=float,
    help="erdos-renyi: of an edge (2 ln n / n); small-world: of a moved one (0.1).",
)
@click.option("--edges", metavar="FILE", type=click.Path(path_type=Path), help="edges: two members a line.")
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Seed of random graphs."
)
@click.option(
    "--rounds", metavar="R", type=click.IntRange(1), help="Also print the distance left after each of R rounds."
)
@click.option(
    "--out",
    metavar="PNG",
    type=click.Path(path_type=Path),
    help="The picture. [default: NAME-N.png; with --json: none]",
)
@click.option("--json", is_flag=True, help="Print one JSON object.")
@click.option("--list", "list_", is_flag=True, help="List all topologies and what each takes.")
def topology(
    name: str | None,
    nodes: int | None,
    degree: int | None,
    probability: float | None,
    edges: Path | None,
    seed: int,
    rounds: int | None,
    out: Path | None,
    json: bool,
    list_: bool,
) -> None:
    """Print degree, edges, spectral gap and rounds to consensus of a topology, and draw it.

    Without NAME: list all. docs/gossip.md says when to use which.
    """
    if name is None or list_:
        _list(json)
        return
    from nervenet.nodes.config.factory import default_node_names, edge_list_members
    from nervenet.nodes.topology import schedule
    from nervenet.nodes.topology.analysis import measure

    from_file = name == "edges" and edges is not None
    names = edge_list_members(str(edges), nodes) if from_file else default_node_names(nodes or 16, "peer")
    made = schedule(name, names, degree=degree, probability=probability, edges=edges, seed=seed)
    # Limits the work on graphs that are far from consensus for long.
    found = measure(name, made, seed=seed, most=max(rounds or 0, min(10_000, 400_000_000 // len(names) ** 2)))
    picture = None if json and out is None else out or Path(f"{name}-{len(names)}.png")
    if picture is not None and not _draw(found, made, picture, seed, rounds, asked=out is not None):
        picture = None
    distances = _distances(found, made, seed, rounds or 0)
    if json:
        _print_json(found, distances, picture)
    else:
        _print(found, distances, picture)


def _draw(found: Measured, made: Schedule, picture: Path, seed: int, rounds: int | None, *, asked: bool) -> bool:
    """Draw the picture; return whether it is there: the figures need no more than a plain installation has."""
    from nervenet.models.extras import MissingExtra
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.topology.plot import draw_topology

    from .output import warn

    try:
        draw_topology(found, made, picture, seed=seed, rounds=rounds)
        return True
    except MissingExtra as error:
        if asked:
            raise
        warn(error)
        return False
    except OSError as error:
        raise ExperimentError(f"--out {picture}: cannot be written: {error.strerror}") from None


def _distances(found: Measured, made: Schedule, seed: int, rounds: int) -> list[float]:
    from itertools import islice

    from nervenet.nodes.topology.analysis import consensus_errors, rule_of

    return list(islice(consensus_errors(made, rule_of(found.name, made), seed=seed), 1, rounds + 1))


def _print(found: Measured, distances: list[float], picture: Path | None) -> None:
    from nervenet.nodes.topology import TOPOLOGIES

    least, mean, most = found.degree
    consensus = (
        "not within the limit" if found.rounds is None else f"0.001 of the distance left after {found.rounds} rounds"
    )
    if found.exact is not None:
        consensus = f"exact after {found.exact} round{'s' if found.exact != 1 else ''}"
    varies = {1: "every round the same"}.get(found.period or 0, f"repeats after {found.period} rounds")
    lines = {
        "nodes": str(found.nodes),
        "graph": f"{'directed' if found.directed else 'undirected'}, {varies if found.period else 'random each round'}",
        "degree": f"{most}" if least == most else f"{least} to {most}, mean {mean:.3g}",
        "edges": f"{found.edges:.6g} a round" + (", one-way" if found.directed else ""),
        "mixing": found.mixing,
        "spectral gap": f"{found.gap:.4g}",
        "consensus": consensus,
    }
    print(f"{found.name}: {TOPOLOGIES[found.name].summary}")
    for label, text in lines.items():
        print(f"  {label:<14}{text}")
    for number, distance in enumerate(distances, start=1):
        print(f"  after {number:<8}{0.0 if distance < 1e-12 else distance:.3e}")
    print(f"  {'picture':<14}{picture or 'none'}")


def _print_json(found: Measured, distances: list[float], picture: Path | None) -> None:
    import dataclasses
    import json

    figures = dataclasses.asdict(found) | {"degree": dict(zip(("min", "mean", "max"), found.degree, strict=True))}
    if distances:
        figures["distances"] = distances
    if picture is not None:
        figures["picture"] = str(picture)
    print(json.dumps(figures))


def _list(as_json: bool) -> None:
    from nervenet.nodes.topology import TOPOLOGIES

    if as_json:
        import json

        for name, kind in TOPOLOGIES.items():
            print(json.dumps({"name": name, "summary": kind.summary, "takes": kind.takes, "paper": kind.paper}))
        return
    width = max(map(len, TOPOLOGIES))
    for name, kind in TOPOLOGIES.items():
        takes = f" [{', '.join(kind.takes)}]" if kind.takes else ""
        paper = f" ({kind.paper})" if kind.paper else ""
        print(f"{name:<{width}}  {kind.summary}{paper}{takes}")

"""How soon peers agree on each topology, and what it costs: the table and the figure of docs/gossip.md.

Nothing is trained: each of 16 peers starts from random numbers, and every round mixes them with the very matrices that
a run would use. The floor is the complete graph, which agrees in one round at the price of everybody's model to
everybody; the last column is how many models a peer has sent by then, over the floor's.

    python benchmarks/topologies.py [--nodes 16] [--seed 0] [--draw docs/consensus.svg]
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from nervenet.nodes.config.factory import default_node_names
from nervenet.nodes.topology import TOPOLOGIES, TopologyError, schedule
from nervenet.nodes.topology.analysis import FALLEN, Measured, consensus_errors, measure, rule_of
from nervenet.nodes.topology.plot import FLOOR, falling

# Colors that stay apart for color-blind eyes (Okabe & Ito 2008); lines of one panel differ in stroke, too.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
PANELS: dict[str, tuple[int, list[tuple[str, str, str]]]] = {
    "few edges": (
        120,
        [("line", RED, "-"), ("star", PURPLE, "--"), ("ring", BLUE, "-"), ("small-world", GREEN, "-.")],
    ),
    "some four neighbors": (
        30,
        [
            ("erdos-renyi", PURPLE, "--"),
            ("random-regular", GREEN, "-."),
            ("torus", ORANGE, "-"),
            ("hypercube", BLACK, ":"),
            ("static-exponential", BLUE, "-"),
            ("complete", RED, "-"),
        ],
    ),
    "another graph each round": (
        16,
        [
            ("epidemic-local", PURPLE, "--"),
            ("epidemic-oracle", GREEN, "-."),
            ("base-k", BLUE, "-"),
            ("one-peer-exponential", ORANGE, ":"),
        ],
    ),
}


def figures(nodes: int, seed: int) -> list[Measured]:
    """Measure every topology that so many nodes can have."""
    found = []
    for name in TOPOLOGIES:
        if name != "edges":
            try:
                found.append(measure(name, schedule(name, default_node_names(nodes, "peer"), seed=seed), seed=seed))
            except TopologyError as error:
                print(f"{name}: {error}")
    return found


def table(found: list[Measured]) -> None:
    """Print a line each."""
    floor = next(one for one in found if one.name == "complete").degree[1]
    print(f"{'topology':<22}{'degree':>8}{'edges':>7}{'gap':>9}{'rounds':>8}{'models sent':>13}{'/ complete':>12}")
    for one in found:
        rounds = one.exact or one.rounds
        sent = f"{rounds * one.degree[1]:>13.0f}{rounds * one.degree[1] / floor:>12.2f}" if rounds else ""
        said = f"{rounds}{'!' if one.exact else ''}" if rounds else "never"
        print(f"{one.name:<22}{one.degree[1]:>8.3g}{one.edges:>7.0f}{one.gap:>9.4f}{said:>8}{sent}")
    print("rounds until a thousandth of the distance is left; !: until there is none")


def draw(path: Path, nodes: int, seed: int) -> None:
    """Draw the distance to the mean over rounds, a panel for each kind of graph."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nervenet", "font.family": "sans-serif"}):
        figure = Figure(figsize=(11.5, 4.0), layout="constrained")
        figure.set_facecolor("white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(PANELS), sharey=True)
        for ax, (title, (rounds, lines)) in zip(axes, PANELS.items(), strict=True):
            panel(ax, lines, rounds, nodes, seed, "lower left" if ax is axes[0] else "upper right")
            ax.set_title(title, fontsize=11)
        axes[0].set_ylabel("distance from the mean, at first 1")
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)


def panel(ax: Any, lines: list[tuple[str, str, str]], rounds: int, nodes: int, seed: int, where: str) -> None:
    """Draw some topologies' curves, each with its name."""
    from matplotlib.ticker import MaxNLocator

    for name, color, stroke in lines:
        made = schedule(name, default_node_names(nodes, "peer"), seed=seed)
        errors = list(islice(consensus_errors(made, rule_of(name, made), seed=seed), rounds + 1))
        xs, ys = falling(errors)
        ax.semilogy(xs, ys, color=color, linestyle=stroke, linewidth=1.8, label=name)
        if ys[-1] == FLOOR:  # it has gone, and not only fallen below what is shown
            ax.plot(xs[-1:], ys[-1:], "v", color=color, clip_on=False, markersize=7)
    ax.axhline(FALLEN, color="#999999", linewidth=0.8)
    ax.set_xlim(0, rounds)
    ax.set_ylim(FLOOR, 1.3)
    ax.minorticks_off()
    ax.set_xlabel("round")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, fontsize=8.5, loc=where, handlelength=2.6, labelspacing=0.3)


def main() -> None:
    """Print the table, and draw if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw", type=Path)
    given = parser.parse_args()
    table(figures(given.nodes, given.seed))
    if given.draw is not None:
        draw(given.draw, given.nodes, given.seed)
        print(given.draw)


if __name__ == "__main__":
    main()

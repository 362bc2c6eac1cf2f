"""Graphs by name: what each takes, what it is for, and errors that say what could be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nervenet.models.extras import how_to_install, installed
from nervenet.models.plugins import Registry

from . import base_k, edge_list, exponential, random, regular
from .base import Neighbors, Schedule, TopologyError, check_connected, named, union

DEGREE = 4  # neighbors a node, where nothing is said and there are so many others
REWIRED = 0.1  # of a small world's edges


@dataclass(frozen=True)
class Arguments:
    names: tuple[str, ...]
    degree: int
    probability: float
    seed: int
    edges: str | None


@dataclass(frozen=True)
class Topology:
    """One function and what is known of its graphs."""

    summary: str  # one line
    build: Callable[[Arguments], Neighbors | Schedule]
    takes: tuple[str, ...] = ()  # which of degree, probability, seed and edges it is built from
    paper: str = ""  # whose idea it is; empty: everybody's
    mixing: str = "metropolis-hastings"  # the rule that suits it where it brings no weights of its own; see `mixing`
    drawn: bool = False  # by networkx, which not every installation has
    directed: bool = False  # edges may go one way
    time_varying: bool = False  # the graph may change from round to round
    # It is built anew over whoever is here when members come and go: there is one for each number of members. Others
    # are repaired edge by edge.
    relaid_on_change: bool = False

    def schedule(self, name: str, arguments: Arguments) -> Schedule:
        """Build the graphs.

        Raises
        ------
        TopologyError
            There is none over so many members, or what was built is not what the flags say.
        """
        try:
            built = self.build(arguments)
        except Exception as error:
            if isinstance(error, TopologyError) or name in _BUILTIN:
                raise
            raise TopologyError(f"topology = {name!r}: raised {type(error).__name__}: {error}") from error
        schedule = Schedule.of(built, directed=self.directed) if isinstance(built, dict) else built
        for flag, found in (("directed", schedule.directed), ("time_varying", not schedule.fixed)):
            if found and not getattr(self, flag):
                raise TopologyError(f"topology = {name!r}: its graph is {flag}; expected a row that says {flag} = True")
        return schedule


def _regular(graph: Callable[[int], regular.Numbered]) -> Callable[[Arguments], Neighbors]:
    return lambda a: named(a.names, graph(len(a.names)))


def _small_world(a: Arguments) -> Neighbors:
    if len(a.names) == 2:  # networkx rewires from three on
        return named(a.names, regular.ring(2))
    return random.small_world(a.names, a.degree, a.probability, a.seed)


def _edges(a: Arguments) -> Schedule:
    if a.edges is None:
        raise TopologyError("edges = None: expected the path of a file with two members a line")
    return edge_list.lay(edge_list.read(a.edges), a.names)


_BUILTIN = {
    "ring": Topology("two neighbors each, in a circle", _regular(regular.ring), relaid_on_change=True),
    "line": Topology("a circle that was cut open", _regular(regular.line), relaid_on_change=True),
    "star": Topology("everybody with the first by name", _regular(regular.star), relaid_on_change=True),
    "complete": Topology("everybody with everybody", _regular(regular.complete), relaid_on_change=True),
    "torus": Topology("a grid without borders, as square as can be", _regular(regular.torus)),
    "hypercube": Topology("those whose number differs in one binary digit", _regular(regular.hypercube)),
    "random-regular": Topology(
        "the same number of neighbors each, drawn once",
        lambda a: random.random_regular(a.names, a.degree, a.seed),
        ("degree", "seed"),
        "Steger & Wormald 1999",
        drawn=True,
    ),
    "erdos-renyi": Topology(
        "each pair an edge or not, drawn once",
        lambda a: random.erdos_renyi(a.names, a.probability, a.seed),
        ("probability", "seed"),
        "Erdős & Rényi 1959",
        drawn=True,
    ),
    "small-world": Topology(
        "the nearest in a circle, a few edges moved anywhere",
        _small_world,
        ("degree", "probability", "seed"),
        "Watts & Strogatz 1998",
        drawn=True,
    ),
    "static-exponential": Topology(
        "to those 1, 2, 4, … places on, all at once; directed",
        lambda a: exponential.static_exponential(a.names),
        paper="Assran et al. 2019, Ying et al. 2021",
        directed=True,
    ),
    "one-peer-exponential": Topology(
        "to one of those 1, 2, 4, … places on, in turn; directed, varying",
        lambda a: exponential.one_peer_exponential(a.names),
        paper="Assran et al. 2019, Ying et al. 2021",
        directed=True,
        time_varying=True,
    ),
    "base-k": Topology(
        "the Base-(k+1) graph, k = degree: the exact mean after a few rounds; varying",
        lambda a: base_k.base(a.names, a.degree),
        ("degree",),
        "Takezawa et al. 2023",
        time_varying=True,
    ),
    "epidemic-oracle": Topology(
        "a fresh random-regular graph each round; varying",
        lambda a: random.epidemic_oracle(a.names, a.degree, a.seed),
        ("degree", "seed"),
        "De Vos et al. 2023",
        drawn=True,
        time_varying=True,
    ),
    "epidemic-local": Topology(
        "each sends to some it draws by itself each round; directed, varying",
        lambda a: random.epidemic_local(a.names, a.degree, a.seed),
        ("degree", "seed"),
        "De Vos et al. 2023",
        mixing="uniform",
        directed=True,
        time_varying=True,
    ),
    "edges": Topology("yours: a file of two members a line, directed if it says so", _edges, ("edges",), directed=True),
}


def _fault(plugin: object) -> str:
    return "" if isinstance(plugin, Topology) else "is no nervenet.nodes.topology.Topology"


TOPOLOGIES = Registry("topology", "nervenet.topologies", _BUILTIN, error=TopologyError, check=_fault)


def schedule(
    name: str,
    members: Sequence[str],
    *,
    degree: int | None = None,
    seed: int = 0,
    probability: float | None = None,
    edges: str | Path | None = None,  # noqa: A002, RUF100
) -> Schedule:
    """Lay the topology `name` over `members`, taken in name order.

    Every node that passes the same names gets the same graph. `degree`: neighbors a node, of ``base-k`` at most so
    many; None: `default_degree`. `probability`: of an edge (``erdos-renyi``), or that an edge is moved
    (``small-world``); None: `default_probability`. `edges`: the file; see `edge_list`.

    Raises
    ------
    TopologyError
        If the name is unknown, an argument is not one of this topology's, or no such graph exists over so many
        members: names the argument, what was found and what could be.
    """
    path = None if edges is None else str(edges)
    check(name, len(members), degree=degree, probability=probability, edges=path)
    names = tuple(sorted(members))
    if len(set(names)) != len(names):
        raise TopologyError(f"members: two have one name; found {', '.join(names)}")
    if len(names) == 1:
        return Schedule.of({names[0]: ()})
    filled = Arguments(
        names,
        degree or default_degree(name, len(names)) or 0,
        probability if probability is not None else default_probability(name, len(names)) or 0.0,
        seed,
        path,
    )
    return _edges(filled) if name == "edges" else _built(name, filled)


@lru_cache(maxsize=8)
def _built(name: str, arguments: Arguments) -> Schedule:
    # Peers that live in one process share one: it is pure, and the larger ones take a second to build.
    built = TOPOLOGIES[name].schedule(name, arguments)
    if built.period is not None:
        check_connected(union(map(built.out, range(1, built.period + 1))), built.directed, f"topology = {name!r}")
    return built


def default_degree(name: str, n: int) -> int | None:
    """Neighbors a node where nothing is said: 4 or as many as there are, 1 of ``base-k``; None: it takes no degree."""
    if "degree" not in TOPOLOGIES[name].takes:
        return None
    if name == "base-k":
        return 1
    return min(DEGREE, (n - 1) // 2 * 2 if name == "small-world" else n - 1)


def default_probability(name: str, n: int) -> float | None:
    """2 ln(n)/n of ``erdos-renyi``, 0.1 of ``small-world``; None: it takes no probability."""
    if "probability" not in TOPOLOGIES[name].takes:
        return None
    return random.connecting(n) if name == "erdos-renyi" else REWIRED


def check(
    name: str,
    n: int,
    *,
    degree: int | None = None,
    probability: float | None = None,
    edges: str | None = None,  # noqa: A002, RUF100
) -> None:
    """Raise `TopologyError` for arguments that no graph over n nodes has; builds none, reads no file."""
    takes = TOPOLOGIES[name].takes
    if TOPOLOGIES[name].drawn and not installed("networkx"):
        raise TopologyError(f"topology = {name!r}: is drawn by networkx; {how_to_install('networkx')}")
    for key, value in {"degree": degree, "probability": probability, "edges": edges}.items():
        if value is not None and key not in takes:
            users = ", ".join(repr(other) for other, made in TOPOLOGIES.items() if key in made.takes)
            raise TopologyError(f"{key} = {value!r}: is for topology = {users}, not {name!r}")
    if name == "edges" and edges is None:
        raise TopologyError("edges = None: topology = 'edges' needs the path of a file with two members a line")
    if n == 1:
        return
    if name == "torus" and regular.torus_sides(n) is None:
        near = [m for m in range(max(4, n - 2), n + 3) if regular.torus_sides(m)]
        raise TopologyError(f"nodes = {n}: a torus is a rectangle of at least 2 x 2; expected for example {_or(near)}")
    if name == "hypercube" and n & (n - 1):
        near = [1 << (n.bit_length() - 1), 1 << n.bit_length()]
        raise TopologyError(f"nodes = {n}: a hypercube has a power of two of them; expected for example {_or(near)}")
    if probability is not None and not (0 < probability <= 1 if name == "erdos-renyi" else 0 <= probability <= 1):
        raise TopologyError(f"probability = {probability:g}: expected above 0 (small-world: 0 or more) and at most 1")
    if degree is not None:
        _check_degree(name, n, degree)


def _check_degree(name: str, n: int, degree: int) -> None:
    if degree < 1:
        raise TopologyError(f"degree = {degree}: expected at least 1")
    if degree >= n:
        raise TopologyError(f"degree = {degree}: expected fewer neighbors than nodes = {n}")
    if name in ("random-regular", "epidemic-oracle") and degree * n % 2:
        near = [d for d in (degree - 1, degree + 1) if 0 < d < n]
        raise TopologyError(
            f"degree = {degree}: degree x nodes must be even, and nodes = {n}; expected for example {_or(near)}"
        )
    if name == "random-regular" and degree == 1 and n > 2:
        raise TopologyError("degree = 1: expected 2 or more; pairs that know only each other never agree with the rest")
    if name == "small-world" and degree % 2:
        raise TopologyError(
            f"degree = {degree}: a small world joins as many neighbors on either side; expected an even number"
        )


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))

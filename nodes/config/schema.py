"""The tables of an experiment: every key of the experiment file, with its type, range and default, and nothing else.

Durations end in ``_s`` and are seconds, sizes end in ``_bytes``. ``None`` means "chosen from the rest";
:meth:`Experiment.resolved` writes the choice down. Which values go together: `nervenet.nodes.experiment.validation`.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta
from nervenet.models.tables.suffixes import SUFFIXES, kind_of

from ..topology import default_degree, default_probability
from .cluster import ClusterConfig
from .hierarchy import HierarchyConfig
from .keys import GATHERED, ExperimentError, check_keys, convert, keys_of, override
from .ranges import Count, Natural, NotNegative, Part, Positive, Probability, Share, Text
from .simulation import SimulationConfig
from .site import SiteConfig

if TYPE_CHECKING:
    from nervenet.models.tables.options import ReadOptions

IMAGES = ("mnist", "fashion_mnist")  # standardized, a pixel that is nearly always black would drown the others


@dataclass(frozen=True, kw_only=True)
class ColumnConfig:
    """What is said of one column; a table for each: [data.columns.NAME]."""

    kind: Literal["number", "category", "date"] | None = None  # where its values would be misread
    # Of dates: their parts, as "%d/%m/%Y". Of numbers: "1,5" for a decimal comma, "1,500" for one between thousands.
    format: Text | None = None
    gaps: tuple[str, ...] | None = None  # texts that are an empty cell, beside the usual; []: only what is empty


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which rows there are, and which node holds which of them."""

    name: Text = "digits"  # a packaged data set, or the path of a file: .csv, .parquet, .npz and others (docs/data.md)
    sites: tuple[Text, ...] = ()  # of launch, in place of name and a partition: the sites' own files, a node for each
    target: str | None = None  # the column to predict; else one called target, y, label or class, else a file's last
    # What the target is; where it is left open, a classifier or regressor says it, or all sites' rows together.
    task: Literal["classification", "regression"] | None = None
    drop: tuple[Text, ...] = ()  # columns that are left out
    id: Text | None = None  # the column that names each row: no input
    weight: Text | None = None  # the column of how much each row counts, in training, scores and averages: no input
    categorical: tuple[Text, ...] = ()  # columns that hold categories, though they may look like numbers
    numeric: tuple[Text, ...] = ()  # columns that hold numbers
    date: tuple[Text, ...] = ()  # columns that hold dates
    columns: dict[str, ColumnConfig] = field(default_factory=dict)  # by name: kind, format and gaps of a column
    missing_target: Literal["refuse", "drop"] = "refuse"  # what becomes of rows without a target, or of their file
    # nervenet node: rows of a .csv, .parquet or .npy file that would take more, 8 bytes a cell, stay on disk.
    in_memory_mb: Positive = 1000.0
    test_size: Part = 0.2  # share of the rows held out for evaluation, stratified by class
    split_seed: Natural = 42  # apart from `seed`: repeated runs are then judged on the same rows
    # Agreed by all nodes before any training: standard, but none for images, whose pixels lie in [0, 1] already.
    scale: Literal["standard", "unit", "none"] | None = None
    # Of tables with text, dates or gaps: auto, the import path of your own unfitted ColumnTransformer or Pipeline, or a
    # .json file that describes one, as a run folder has it where a program gave the object.
    preprocess: Text = "auto"
    min_frequency: Count | None = None  # auto: categories that fewer rows of all sites have are taken together
    partition: Literal["iid", "dirichlet", "shards", "quantity", "column"] = "iid"  # which node holds which rows
    alpha: Positive = 0.5  # dirichlet and quantity: the smaller, the more unequal the nodes
    shards_per_node: Count = 2  # shards: how many runs of one label each node gets
    # A site with fewer rows takes no part: what it tells in round 0 gives one or two rows away. A draw that leaves a
    # node with fewer is drawn again.
    min_rows: Count = 3
    column: str | None = None  # column: the one whose values say whose row it is

    @property
    def scaling(self) -> Literal["standard", "unit", "none"]:
        """How inputs are scaled: `scale`, or what suits the data where it was left open."""
        return self.scale or ("none" if self.name in IMAGES else "standard")

    @property
    def options(self) -> "ReadOptions":
        """What is said of a file's columns. Raises ExperimentError where it contradicts itself."""
        from nervenet.models.tables.options import ColumnOptions, ReadOptions

        columns = {name: ColumnOptions(said.kind, said.format, said.gaps) for name, said in self.columns.items()}
        keys = ("target", "drop", "id", "weight", "categorical", "numeric", "date", "missing_target", "task")
        try:
            return ReadOptions(columns=columns, **{key: getattr(self, key) for key in keys})
        except ValueError as error:
            raise ExperimentError(f"data: {error}") from None

    @property
    def label(self) -> str:
        """The short name for tables and folders: a file's stem, or the data set's name."""
        if self.sites:
            return "sites"
        return Path(self.name).stem if is_file_name(self.name) else self.name


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What learns; keys that are not listed here are the estimator's own arguments and end up in ``parameters``."""

    name: Text = "mlp"  # the built-in network, or an import path such as sklearn.linear_model.SGDClassifier
    hidden: tuple[Count, ...] = (64,)  # units per hidden layer of the built-in network
    activation: Literal["relu", "tanh", "logistic", "identity"] = "relu"  # of the hidden layers
    dtype: Literal["float32", "float64"] = "float32"  # float64 doubles the bytes on the wire
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What a node does between two exchanges."""

    epochs: Count = 5  # passes over a node's own rows per round; more of them: fewer bytes, more drift
    local_steps: Count | None = None  # mini-batches per round instead of epochs: equal work for unequal nodes
    batch_size: Count = 16  # rows per step
    optimizer: Literal["sgd", "adam"] = "sgd"  # of the built-in network
    learning_rate: Positive = 0.05  # step size of the built-in network
    momentum: Part = 0.9  # 0 is plain SGD
    nesterov: bool = True  # of sgd with momentum
    l2: NotNegative | None = None  # 1e-4 for classification, 1.0 for regression
    carry_optimizer: bool | None = None  # keep moments from round to round: false federated, true under gossip
    # How much a row of each class counts: balanced (n / (classes x rows of the class), over the training rows of all
    # sites), or a table by label, 1 where one is left out. The coordinator's; under gossip the same at every peer.
    class_weight: Literal["balanced"] | dict[str, Positive] | None = None
    trees: Literal["own", "shared"] = "own"  # of a forest: grown by each site on its own rows, or by all sites together

    @property
    def rule(self) -> str:
        """The name of the update rule: ``adam``, ``sgd`` (no momentum), ``momentum`` or ``nesterov``."""
        momentum = "nesterov" if self.nesterov else "momentum"
        return "adam" if self.optimizer == "adam" else momentum if self.momentum else "sgd"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How results are judged."""

    every: Count = 1  # rounds between two evaluations on the test set; the last round is always evaluated
    scorers: tuple[Text, ...] = ()  # further scores by scikit-learn's names; these load scikit-learn
    sites: bool = False  # federated: each client also keeps `data.test_size` of its rows and judges the model on them
    until: Text | None = None  # federated: stop at the first round that reaches it: "accuracy=0.97", "loss=0.1"
    patience: Count | None = None  # federated: stop after so many evaluations in a row without improvement
    min_delta: NotNegative = 0.0  # patience: what is no more than this is no improvement
    budget_s: Positive | None = None  # federated: stop at the end of the round that is open by then
    baseline: bool = True  # also train centrally and each node alone, for comparison
    # federated: a site with fewer rows kept from training tells only its scores of them, and no counts by class.
    report_rows: Count = 10
    # How each site's own model does at the others, where they have rows of their own. None: under launch, with the
    # baseline. true: also without the launcher, where clients then send their own models.
    site_matrix: bool | None = None

    @property
    def may_stop_early(self) -> bool:
        """Whether a run may end before its last round."""
        return bool(self.until or self.patience or self.budget_s)


@dataclass(frozen=True, kw_only=True)
class FederatedConfig:
    """How a coordinator runs its rounds."""

    strategy: Text = "fedavg"  # built in (docs/federated.md), or the import path of your own: package.module:Class
    participation: Share = 1.0  # share of the clients that are wanted each round
    # Who they are: uniform; weighted by examples (fewer rounds, but the small are seldom heard); round-robin by turns.
    sampling: Literal["uniform", "weighted", "round-robin"] = "uniform"
    # Ask this many times as many as are wanted, and close as soon as those have answered: 1.3 is not held up by the
    # slowest quarter, whose work is lost and whose data is heard less.
    over_selection: Annotated[float, Meta(ge=1)] = 1.0
    quorum: Share = 1.0  # a round closes early when this share of those wanted and still living have answered
    partial: bool = False  # stragglers report what they have in time; else they have worked for nothing
    # No round is opened before as many clients are there, and one with fewer answers fails: max(2, half of all who have
    # enrolled; of answers, half of those that are wanted of them). 1: the model of a round may be one client's own.
    min_clients: Count | None = None
    # How long a round waits for `min_clients` before the run fails; None: `network.rejoin_deadline_s`.
    wait_deadline_s: Positive | None = None
    # Nobody counts for more rows than this many times the median client's. Low: nobody takes the model over by a lie;
    # high: a site that does hold that many rows counts for all of them. And nobody for more than half of a round,
    # unless it had more rows than all others when round 0 began.
    max_examples_ratio: Annotated[float, Meta(ge=1)] = 100.0
    # Each round tells the length and direction of every update, and who is out of line: a few more passes over them.
    report_outliers: bool = False
    probation_rounds: Count = 5  # rounds without a client after three rejections in a row; doubled each further time
    deadline_s: Positive = 30.0  # well above the slowest client's round: who misses it has worked for nothing
    # How updates are encoded: delta, top-k:SHARE, float16 | bfloat16 | int8 | int4, deflate; in that order, joined by +
    compression: str = ""  # "delta+int8" is a quarter of the bytes; empty: as they are
    personal: tuple[Text, ...] = ()  # arrays of the model that stay with the client, as "weight.1" (FedPer)
    ditto: NotNegative = 0.0  # beside the global model each client trains its own, pulled to it by so much (Ditto)
    # What each client says for itself (its own --epochs, …) and is otherwise told by the coordinator.
    site_settings: tuple[Literal["epochs", "batch_size", "learning_rate"], ...] = ()
    fine_tune: Natural = 0  # epochs that each client trains on by itself, once the final model is there
    arguments: dict[str, Any] = field(default_factory=dict)  # the strategy's own, given as keys of [federated]


@dataclass(frozen=True, kw_only=True)
class GossipConfig:
    """Who exchanges weights with whom, and how they are mixed."""

    topology: Text = "ring"  # `nervenet topology` says what each is and takes, and how soon it agrees
    # Neighbors per peer, of topologies that take it (4; base-k: 1); more of them: faster consensus, more bytes.
    degree: Count | None = None
    probability: Probability | None = None  # erdos-renyi: of an edge (2 ln n / n); small-world: of a moved one (0.1)
    edges: Text | None = None  # edges: the path of a file, two members a line by name or number
    algorithm: Text = "dpsgd"  # those built in: docs/gossip.md; ad-psgd and gossip-learning have no rounds
    # How much of whom: None: what suits algorithm and topology. push-sum: with a mass that travels along (sgp).
    mixing: Literal["metropolis-hastings", "uniform", "push-sum"] | None = None
    compression: str = ""  # choco: how differences are encoded, as top-k:0.05+int8; see federated.compression
    deadline_s: Positive = 30.0  # a peer goes on without a neighbor that has not answered by then
    # How many peers, itself included, must be there for a peer to begin a round; None: it goes on alone, and says so.
    min_peers: Count | None = None
    wait_deadline_s: Positive | None = None  # how long it waits for them; None: `network.rejoin_deadline_s`
    arguments: dict[str, Any] = field(default_factory=dict)  # the algorithm's own, given as keys of [gossip]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Addresses, clocks and limits."""

    bind: Text = "127.0.0.1"  # the interface that nodes and the broker listen on (ipc: a folder)
    advertise: str | None = None  # where others reach this machine; needed with a wildcard bind
    transport: Literal["tcp", "ipc", "inproc"] = "tcp"  # tcp between machines; ipc and inproc on one, or in one process
    min_nodes: Count | None = None  # the roster is issued once this many have joined; all of them by default
    join_deadline_s: Positive = 30.0  # how long a run waits for its nodes
    # How long nodes wait for others to be back: clients for a coordinator that is away, a round for enough to go on.
    rejoin_deadline_s: Positive = 120.0
    heartbeat_s: Positive = 0.5  # between two signs of life
    suspect_after_s: Positive = 2.0  # silence after which a node is suspected: at least two heartbeats
    max_message_bytes: Annotated[int, Meta(ge=65536)] = 256 * 2**20  # a larger model travels in chunks
    chunk_bytes: Annotated[int, Meta(ge=4096)] = 4 * 2**20  # of such a chunk: what a cut may cost again
    mapped: bool = False  # vectors of such a model lie in files: beside the checkpoints, else among the temporary ones
    keys: Text | None = None  # folder of this node's key and of those that it allows: all connections are encrypted
    shared_memory: bool = True  # large vectors to nodes of this user on this machine go by it (Linux); else by sockets
    insecure: bool = False  # leave this machine without keys: anybody on the way can read and forge everything


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The durations that a node's machine goes by, in seconds; see `Experiment.timing`."""

    deadline_s: float = 30.0  # of a round
    join_deadline_s: float = 30.0
    rejoin_deadline_s: float = 120.0  # clients: silence after which the coordinator is given up
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 10.0  # silence after which a node that is suspected is given up

    @property
    def work_deadline_s(self) -> float:
        """How long a node's own worker may take for one piece of work."""
        # Aggregation and evaluation may take long; a worker that hangs must still not hold a run forever.
        return 10 * max(60.0, self.deadline_s)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run, described completely.

    `nervenet.nodes.experiment.loader` builds and checks it; `from_dict` checks each key by itself, the constructor
    nothing.
    """

    mode: Literal["federated", "gossip"] = "federated"  # a coordinator averages, or peers exchange with neighbors
    nodes: Count = 8  # clients or peers
    rounds: Count = 20  # of training and exchange
    seed: Natural = 0  # of every random draw
    # Start from a saved model: a run folder, or a model file. Its weights, its scaler and the clock of its schedule go
    # on; columns, classes, scale and layout must fit. The coordinator has it, or every peer.
    init: Text | None = None
    processes: Count | None = None  # operating-system processes for the nodes; one each by default
    # Of a run folder's events, and a quarter of it of nodes.log: what is older is dropped, but for its rounds.
    max_log_bytes: Annotated[int, Meta(ge=65536)] = 256 * 2**20
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    federated: FederatedConfig = field(default_factory=FederatedConfig)
    gossip: GossipConfig = field(default_factory=GossipConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    site: SiteConfig = field(default_factory=SiteConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)

    @property
    def deadline_s(self) -> float:
        """The deadline of a round in this run's mode, in seconds."""
        return self.federated.deadline_s if self.mode == "federated" else self.gossip.deadline_s

    @property
    def timing(self) -> Timing:
        network = self.network
        return Timing(
            deadline_s=self.deadline_s,
            join_deadline_s=network.join_deadline_s,
            rejoin_deadline_s=network.rejoin_deadline_s,
            heartbeat_s=network.heartbeat_s,
            suspect_after_s=network.suspect_after_s,
            lost_after_s=5 * network.suspect_after_s,
        )

    @property
    def compression(self) -> str:
        """The codec of this run's mode; empty: none."""
        return self.federated.compression if self.mode == "federated" else self.gossip.compression

    @property
    def clients_per_round(self) -> int:
        """How many clients a federated round wants: ``participation`` of all, rounded up; two, unless one is enough."""
        least = min(self.nodes, self.federated.min_clients or 2, 2)
        return max(least, math.ceil(self.federated.participation * self.nodes - 1e-9))

    @property
    def _counts_min_clients(self) -> bool:
        """Whether it is one number: not where a share of the clients is asked, or a region has its own."""
        return self.mode == "federated" and self.clients_per_round == self.nodes and self.hierarchy.regions is None

    @property
    def min_clients(self) -> int:
        """Clients without whom no federated round is opened: max(2, half of all); one where there is but one."""
        return self.federated.min_clients or min(self.nodes, max(2, math.ceil(self.nodes / 2)))

    @property
    def personalized(self) -> bool:
        federated = self.federated
        return self.mode == "federated" and bool(federated.personal or federated.ditto or federated.fine_tune)

    @property
    def carry_optimizer(self) -> bool:
        """Whether moments survive a round: by default under gossip alone (each measured best where it is on)."""
        chosen = self.training.carry_optimizer
        return self.mode == "gossip" if chosen is None else chosen

    @property
    def degree(self) -> int | None:
        """Neighbors per peer, of a topology that takes it: what was said, else 4 or all there are (base-k: 1)."""
        return self.gossip.degree or default_degree(self.gossip.topology, self.nodes)

    @property
    def probability(self) -> float | None:
        """The probability that a topology takes: what was said, else that which suits it."""
        chosen = self.gossip.probability
        return default_probability(self.gossip.topology, self.nodes) if chosen is None else chosen

    @property
    def process_count(self) -> int:
        return self.processes or self.nodes

    @property
    def min_nodes(self) -> int:
        """Nodes (without the coordinator) that must have joined before the roster is issued."""
        return self.network.min_nodes or self.nodes

    def derived(self) -> dict[str, Any]:
        """Return every choice that follows from the rest where it is left open, by its dotted key."""
        choices: dict[str, Any] = {
            "processes": self.process_count,
            "data.scale": self.data.scaling,
            "training.carry_optimizer": self.carry_optimizer,
            "federated.min_clients": self.min_clients if self._counts_min_clients else None,
            "gossip.degree": self.degree or None,
            "gossip.probability": self.probability,
            "network.min_nodes": self.min_nodes,
        }
        return {key: value for key, value in choices.items() if value is not None}

    def resolved(self) -> "Experiment":
        """Return the same run with every choice that follows from the rest written down."""
        return self.from_dict(override(self.to_dict(), self.derived()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain maps, lists and scalars, as an experiment file has them."""
        tables: dict[str, Any] = _plain(dataclasses.asdict(self))
        for table, key in GATHERED.items():
            tables[table].update(tables[table].pop(key))
        if self.training.local_steps is not None:
            del tables["training"]["epochs"]
        if self.data.sites:
            del tables["data"]["name"]
        if not self.data.columns:
            del tables["data"]["columns"]
        if not tables["site"]["allow"]:
            del tables["site"]["allow"]
        if self.simulation == SimulationConfig():
            del tables["simulation"]
        if self.hierarchy == HierarchyConfig():
            del tables["hierarchy"]
        return tables

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> "Experiment":
        """Build the experiment that the tables of an experiment file describe, each key checked by itself.

        Keys of ``[federated]``, ``[gossip]`` and ``[model]`` that are not listed here are taken for arguments of what
        is chosen there.

        Raises
        ------
        ExperimentError
            For an unknown key, a wrong type, or a value out of range.
        """
        model = tables.get("model")
        own = isinstance(model, Mapping) and model.get("name", "mlp") != "mlp"
        check_keys(cls, tables, open_tables=("federated", "gossip", *(["model"] if own else ())))
        training, gathered = tables.get("training", {}), {key: _gather(key, tables.get(key, {})) for key in GATHERED}
        if {"epochs", "local_steps"} <= training.keys():
            raise ExperimentError("training.local_steps: excludes training.epochs; give one of the two")
        data = tables.get("data", {})
        if data.get("sites"):
            if "name" in data:
                raise ExperimentError("data.sites: excludes data.name (--data); give one of the two")
            if isinstance(data["sites"], list | tuple):
                gathered["nodes"] = tables.get("nodes", len(data["sites"]))
        hidden = gathered["model"].get("hidden")
        if isinstance(hidden, int) and not isinstance(hidden, bool):
            gathered["model"]["hidden"] = [hidden]
        return convert({**tables, **gathered}, cls)

    def to_toml(self) -> str:
        """Return the text of an experiment file that repeats this run."""
        import tomli_w

        return tomli_w.dumps(self.resolved().to_dict())


def is_file_name(name: str) -> bool:
    """Whether ``data.name`` means a file rather than a packaged data set."""
    return "/" in name or kind_of(Path(name)) in SUFFIXES


def _gather(table: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the keys that are not its own under the key that gathers them."""
    own = (*keys_of(Experiment, table), GATHERED[table])
    known = {key: value for key, value in given.items() if key in own}
    further = {key: value for key, value in given.items() if key not in own}
    inner = known.get(GATHERED[table], {})
    return {**known, GATHERED[table]: {**inner, **further} if isinstance(inner, Mapping) else inner}


def _plain(value: Any) -> Any:
    """Return maps without what is None, and lists for tuples: what TOML can say."""
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items() if below is not None}
    return list(value) if isinstance(value, tuple) else value

"""The part of an experiment that all sites have in common, which an invitation carries, and what a site adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..config.keys import ExperimentError, as_in_file, check_keys, flat, override
from ..config.schema import Experiment, ModelConfig, TrainingConfig
from ..experiment.loader import experiment_of

ROLE_OF = {"federated": "client", "gossip": "peer"}

NEVER = (
    "init",
    "processes",
    "data.name",
    "data.path",
    "data.sites",
    "data.partition",
    "data.alpha",
    "data.shards_per_node",
    "data.column",
    "gossip.edges",
    "network.bind",
    "network.advertise",
    "network.transport",
    "network.keys",
    "network.insecure",
)
"""Keys that no invitation has: they are of one machine alone, or of a launch."""

OWN = (
    "data.name",
    "data.target",
    "data.drop",
    "data.id",
    "data.weight",
    "data.categorical",
    "data.numeric",
    "data.date",
    "data.columns.*",
    "data.missing_target",
    "data.in_memory_mb",
    "data.test_size",
    "data.split_seed",
    "data.min_rows",
    "evaluation.*",
    "network.bind",
    "network.advertise",
    "network.keys",
    "network.*_s",
    "model.n_jobs",
    "model.verbose",
)
"""Keys that are each site's own affair (docs/data.md has the table), whatever the invitation says of them."""

OWN_OF_PEERS = (
    "training.epochs",
    "training.local_steps",
    "training.batch_size",
    "training.learning_rate",
    "training.carry_optimizer",
    "gossip.deadline_s",
    "gossip.min_peers",
    "gossip.wait_deadline_s",
    "deadline_s",
)

_WHOLE = ("model", "training")
_OF_BUILT_IN = {"model": ModelConfig(), "training": TrainingConfig()}


def shared_part(experiment: Experiment) -> dict[str, Any]:
    """Return the tables that an invitation to this experiment carries.

    What a node's updates depend on is all there, defaults included, so that a site with another version of this package
    has the same; of the rest only what somebody has changed.

    Raises
    ------
    ExperimentError
        For what only a file on the site's machine can say.
    """
    peers = experiment.mode == "gossip"
    for key, value in (("init", experiment.init), ("gossip.edges", experiment.gossip.edges)):
        if peers and value is not None:
            raise ExperimentError(
                f"{key} = {value!r}: is a file of this machine, and every peer needs it: an invitation carries none; "
                "start the peers by nervenet node"
            )
    tables = experiment.resolved().to_dict()
    usual = Experiment(mode=experiment.mode).to_dict()
    part: dict[str, Any] = {key: tables[key] for key in ("mode", "nodes", "rounds", "seed")}
    for table in ("data", *_WHOLE, experiment.mode, "evaluation", "network"):
        whole = table in (*_WHOLE, experiment.mode)
        found = {
            key: value
            for key, value in tables[table].items()
            if f"{table}.{key}" not in NEVER and value not in ("", []) and (whole or value != usual[table].get(key))
        }
        if experiment.model.name != "mlp" and table in _OF_BUILT_IN:
            found = {key: value for key, value in found.items() if not _is_idle(table, key, value)}
        part[table] = found
    part["data"]["scale"] = experiment.data.scaling
    if experiment.min_nodes == experiment.nodes:
        del part["network"]["min_nodes"]
    return {key: value for key, value in part.items() if value != {}}


def check_part(tables: Mapping[str, Any], role: str) -> None:
    """Raise :class:`ExperimentError` for tables that no invitation for a role carries; nothing is imported for that."""
    if role == "monitor":
        if tables:
            raise ExperimentError(f"experiment.{min(flat(tables))}: a monitor takes part in no run; expected none")
        return
    for key in flat(tables):
        if key in NEVER or key.partition(".")[0] == "site":
            raise ExperimentError(f"experiment.{key}: has no place in an invitation; it is each machine's own")
    try:
        mode = Experiment.from_dict(tables).mode
    except ExperimentError as error:
        raise ExperimentError(f"experiment.{error}") from None
    if ROLE_OF[mode] != role:
        raise ExperimentError(f"role = {role!r}: a {role} takes no part in a {mode} run; expected {ROLE_OF[mode]}")


def check_own(tables: Mapping[str, Any], own: Mapping[str, object], whom: str) -> None:
    """Raise :class:`ExperimentError` for the first key of `own` that there is not, or that the run has to say.

    `tables` are those of the invitation, and `whom` is who made it.
    """
    said = flat(tables)
    for key, value in own.items():
        if not is_own(tables, key):
            check_keys(Experiment, override({}, {key: value}), ("federated", "gossip", "model"))
            has = f"{said[key]!r}" if key in said else "nothing of it"
            raise ExperimentError(
                f"{as_in_file(key)}: is the same at every site, and the invitation says {has}; "
                f"another one is made by {whom}: nervenet invite"
            )


def is_own(tables: Mapping[str, Any], key: str) -> bool:
    """Whether a site says a key for itself."""
    own: tuple[str, ...] = OWN
    if tables.get("mode") == "gossip":
        own += OWN_OF_PEERS
    else:
        left = tables.get("federated", {}).get("site_settings", ())
        own += tuple(f"training.{name}" for name in left)
        own += ("training.local_steps",) if "epochs" in left else ()
    return any(fnmatchcase(key, pattern) for pattern in own)


def with_own(
    tables: Mapping[str, Any], file: Mapping[str, Any], overrides: Mapping[str, object], whom: str
) -> dict[str, Any]:
    """Return the tables of a site's node: those of the invitation, with what the site says for itself.

    Parameters
    ----------
    tables
        Of the invitation.
    file
        The tables of the site's own file; `overrides`, by dotted keys, win over them.
    whom
        Who made the invitation, and could make another.

    Raises
    ------
    ExperimentError
        For a key that all sites have in common, and for the site's policy, which has a file of its own.
    """
    if said := next((key for key in (*file, *overrides) if key.partition(".")[0] == "site"), None):
        raise ExperimentError(f"{said}: what this site takes part in is said by its own file: --site FILE")
    own = {**flat(file), **overrides}
    check_own(tables, own, whom)
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tables.items()}
    for table, found in file.items():
        merged[table] = {**merged.get(table, {}), **found}
    merged = override(merged, overrides)
    if own.get("training.local_steps") is not None:
        merged["training"].pop("epochs", None)
    elif own.get("training.epochs") is not None:
        merged["training"].pop("local_steps", None)
    return merged


def site_experiment(tables: Mapping[str, Any]) -> Experiment:
    """Return the checked experiment of a site's node, of what `with_own` returns.

    The code that an invitation names may be imported for that.

    Raises
    ------
    ExperimentError
    """
    found, federated = dict(tables), tables.get("federated", {})
    if tables.get("mode") == "federated":  # the coordinator's own code, of which a client needs none
        found["data"] = {key: value for key, value in tables.get("data", {}).items() if key != "preprocess"}
        if is_import_path(str(federated.get("strategy", ""))):
            known = {key for key in Experiment().to_dict()["federated"] if key != "strategy"}
            found["federated"] = {key: value for key, value in federated.items() if key in known}
    return experiment_of(found, {})


def is_import_path(name: str) -> bool:
    """Whether a name is that of somebody's own code."""
    return (":" in name or "." in name) and not name.startswith("sklearn.")


def _is_idle(table: str, key: str, value: object) -> bool:
    """Whether a key of the built-in network stands at its default, beside another model."""
    if table == "training" and key not in ("optimizer", "learning_rate", "momentum", "nesterov", "l2"):
        return False
    default = getattr(_OF_BUILT_IN[table], key, None) if key != "name" else None
    return default is not None and value == (list(default) if isinstance(default, tuple) else default)

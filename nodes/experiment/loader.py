"""From files, flags and keywords to one checked experiment."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nervenet.models.pipeline.description_text import is_described, normalized

from ..config import grown
from ..config.keys import ExperimentError, override
from ..config.schema import Experiment, is_file_name
from ..config.summed import summed_model, with_defaults
from ..topology.base import TopologyError
from .validation import check_preprocess, check_scorers, validate

IN_BOTH = ("deadline_s", "compression")  # keys that [federated] and [gossip] both have


def load_experiment(
    path: Path | str | None = None, overrides: Mapping[str, object] | None = None, site: Path | str | None = None
) -> Experiment:
    """Read an experiment file, let ``overrides`` win, and check the whole.

    Parameters
    ----------
    path
        An experiment file, or a run directory that holds one; ``None`` starts from the defaults. A file that it names,
        of data or edges, is looked for beside it first, then in the working directory. What a run directory says that
        only followed from the rest is found anew, so that other ``nodes``, for example, have as many processes.
    overrides
        Dotted keys and their values, as flags and ``--set`` give them; None takes back what the file says. The keys
        ``deadline_s`` and ``compression`` mean those of the mode's own table.
    site
        The site's own file, which has the table [site] alone: it stands in place of what `path` says under [site], and
        no override reaches into it.

    Raises
    ------
    ExperimentError
        In one or two lines that name the key, what was found and what is allowed.
    """
    path, site = (None if given is None else Path(given) for given in (path, site))
    tables = {} if path is None else read_toml(path)
    if path is not None and path.is_dir() and overrides:
        tables = _without_derived(tables)
    if path is not None:
        _find_files_beside(path if path.is_dir() else path.parent, tables)
    return experiment_of(tables, overrides or {}, site)


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of an experiment file, in which the files that it names are found; nothing else is checked."""
    tables = read_toml(path)
    _find_files_beside(path.parent, tables)
    return tables


def experiment_of(tables: dict[str, Any], overrides: Mapping[str, object], site: Path | None = None) -> Experiment:
    """Let overrides win over the tables of an experiment file, as `load_experiment` does, and check the whole.

    Raises
    ------
    ExperimentError
    """
    wins = dict(overrides)
    _choose_rows(tables, wins)
    mode = wins.get("mode", tables.get("mode", "federated"))
    for key in IN_BOTH:
        if key in wins:
            wins.setdefault(f"{mode if mode == 'gossip' else 'federated'}.{key}", wins.pop(key))
    tables = override(tables, wins)
    if site is not None:
        tables["site"] = read_site(site, wins)
    _find_files_beside(Path.cwd(), tables)
    if isinstance(tables.get("data"), dict) and "path" in tables["data"]:
        tables["data"]["name"] = tables["data"].pop("path")
    _read_preprocess(tables)
    return checked_experiment(tables)


def _choose_rows(tables: dict[str, Any], wins: Mapping[str, object]) -> None:
    """Take back what a file says of the rows where others are chosen: one file, or one for each site."""
    data = tables.get("data")
    if not isinstance(data, dict):
        return
    if "data.name" in wins:
        data.pop("path", None)
        if data.pop("sites", None) is not None:
            tables.pop("nodes", None)
    elif wins.get("data.sites"):
        data.pop("path", None)
        data.pop("name", None)
        tables.pop("nodes", None)


def checked_experiment(tables: Mapping[str, Any], model: object = None) -> Experiment:
    """Build an experiment from the tables of an experiment file, and check the whole.

    `model` is what a program has given in place of the one that the tables name.

    Raises
    ------
    ExperimentError
    CannotMerge
        Copies of `model` cannot learn together.
    """
    experiment = _among_all(Experiment.from_dict(tables), tables)
    named = summed_model(experiment) if model is None else _made(model)
    experiment = with_defaults(experiment, named, rounds="rounds" not in tables)
    experiment = grown.with_defaults(experiment, model if model is None else named, rounds="rounds" not in tables)
    validate(experiment)
    check_scorers(experiment)  # here and not at every node: it loads scikit-learn
    check_preprocess(experiment)
    return experiment


def _among_all(experiment: Experiment, tables: Mapping[str, Any]) -> Experiment:
    """Lay out the complete graph for an algorithm that averages over all peers, where nothing is said of the graph."""
    gossip = experiment.gossip
    if gossip.algorithm != "all-reduce" or "topology" in (tables.get("gossip") or {}):
        return experiment
    return replace(experiment, gossip=replace(gossip, topology="complete"))


def _made(model: object) -> object:
    from nervenet.models.registry import as_model

    return as_model(model)


def experiment_from_keywords(
    mode: str, keywords: Mapping[str, object], base: Experiment | None, model: object = None
) -> Experiment:
    """Lay keywords (None: not given) over `base`, or over the defaults for two nodes, and check the whole.

    Raises
    ------
    ExperimentError, CannotMerge
    """
    tables: dict[str, Any] = {"nodes": 2} if base is None else base.to_dict()
    given = {key: value for key, value in keywords.items() if value is not None}
    return checked_experiment(override(tables, {**given, "mode": mode}), model)


def read_site(path: Path, overrides: Mapping[str, object]) -> Any:
    """Return the table of a site's own file, which wins over whatever else says something of it.

    Raises
    ------
    ExperimentError
        An override says something of it, too, or the file has another table.
    """
    tables = read_toml(path)
    if over := next((key for key in overrides if key.partition(".")[0] == "site"), None):
        raise ExperimentError(f"--set {over}: what holds at this site is said by {path} (--site) alone")
    if other := next((key for key in tables if key != "site"), None):
        raise ExperimentError(f"{path}: {other}: a site's own file has the table [site] and no other")
    if "site" not in tables:
        raise ExperimentError(f"{path}: has no table [site], so that it would limit nothing")
    return tables["site"]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of an experiment file, or of the ``experiment.toml`` in a run directory."""
    file = path / "experiment.toml" if path.is_dir() else path
    if file.is_fifo() and file.parts[:2] != ("/", "dev"):  # as a shell's <(…) is
        raise ExperimentError(f"{file}: is a named pipe, to which nobody may ever write; expected an experiment file")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExperimentError(f"{file}: there is no such experiment file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{file}: cannot be read as an experiment file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{file}: is not TOML: {error}") from None


def _without_derived(tables: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a run directory holds of choices that follow from the rest, where they are what follows."""
    bare, written = override(tables, {}), {}
    try:
        for dotted in Experiment.from_dict(tables).derived():
            table, _, key = dotted.rpartition(".")
            part = bare.get(table, {}) if table else bare
            if key in part:
                written[dotted] = part.pop(key)
        follows = checked_experiment(bare).derived()
    except (ExperimentError, TopologyError):
        return tables  # which the check of the whole says what is wrong with
    return override(bare, {key: value for key, value in written.items() if value != follows.get(key)})


def _find_files_beside(folder: Path, tables: dict[str, Any]) -> None:
    """Make the paths of files absolute, so that the copy in the run directory still finds them."""
    is_file = {"name": is_file_name, "preprocess": _is_json_file}
    files = (("", "init"), ("data", "name"), ("data", "path"), ("data", "preprocess"), ("gossip", "edges"))
    for section, key in files:
        table = tables.get(section) if section else tables
        name = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(name, str) and name and is_file.get(key, bool)(name):
            table[key] = _beside(folder, name)
    data = tables.get("data")
    if isinstance(data, dict) and isinstance(sites := data.get("sites"), list):
        data["sites"] = [_beside(folder, file) if isinstance(file, str) and file else file for file in sites]


def _read_preprocess(tables: dict[str, Any]) -> None:
    """Put the description of a pipeline in the place of its file, so that a run depends on no other file."""
    data = tables.get("data")
    path = data.get("preprocess") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(path, str) or not _is_json_file(path):
        return
    where = f"data.preprocess = {path!r}"
    try:
        described = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ExperimentError(f"{where}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{where}: is not JSON: {error}") from None
    if not isinstance(described, dict):
        raise ExperimentError(f"{where}: describes no pipeline; a run folder's preprocess.json does")
    data["preprocess"] = normalized(described)


def _is_json_file(name: str) -> bool:
    return name.endswith(".json") and not is_described(name)


def _beside(folder: Path, name: str) -> str:
    path = Path(name).expanduser()
    return str((folder / path if (folder / path).exists() else path).absolute())

"""Rows that lie at a worker, as the process of their node gets them: read there, and never sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nervenet.models.data.written import written_to_dict
from nervenet.models.tables.table import Table

from ...config.factory import build_model, node_names
from ...config.schema import Experiment
from ..data_shares import DataShares, load_for
from ..jobs import OWN_ROWS
from ..shared_rows import pack_rows


def unread(experiment: Experiment) -> DataShares:
    """Return the shares of nodes whose rows the launcher never sees: of each an empty file."""
    shares = DataShares((), "", 0)
    try:
        shares.test = pack_rows()
        shares.nodes = [os.dup(shares.test) for _ in node_names(experiment)]
    except BaseException:
        shares.close()
        raise
    return shares


def agreed_task(preprocessing: Mapping[str, Any] | None) -> str:
    """Return what nodes agreed in round 0 that their targets are, by what they report of it; before it: labels."""
    from nervenet.models.table_preprocessing import preprocessing_of

    return "classification" if preprocessing is None else str(preprocessing_of(preprocessing).task)


def with_own_rows(job: Mapping[str, Any], held: object) -> tuple[dict[str, Any], int]:
    """Return the job of one node with what there is to say of its rows, and a descriptor of them.

    `held` is the partition of a data frame, where it is not a file.

    Raises
    ------
    DataError
        They cannot be read, or not be learned; it names file and place.
    """
    experiment = Experiment.from_dict(job["experiment"])
    where = job[OWN_ROWS]
    if "file" in where:
        rows = load_for(build_model(experiment), experiment, file=where["file"])
    else:
        from nervenet.models.tables.frames import raw_frame
        from nervenet.models.tables.load import as_dataset

        rows = as_dataset(raw_frame(held, where["held"]), experiment.data.options)
    facts: dict[str, Any] = {
        "columns": list(rows.columns),
        "kinds": list(rows.X.kinds) if isinstance(rows.X, Table) else None,
        "weighted": rows.weight is not None,
        "task": None,  # all sites decide, as in round 0 of any nodes with files of their own
    }
    return {**job, **facts, **written_to_dict(rows.written)}, pack_rows(rows.arrays)

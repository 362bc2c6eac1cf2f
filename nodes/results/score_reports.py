"""The score reports of a run: of all rows that nobody trained on, and of each site's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from nervenet.models.site_model import SiteModel
    from numpy.typing import NDArray

Rows = tuple[Any, ...]
"""Raw rows, X (rows, columns) and y (rows,), and their weights, (rows,), where they have some."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a run's models are judged on, as far as it is known here."""

    test: Rows | None = None  # rows that nobody trained on
    site_of: NDArray[np.intp] | None = (
        None  # whose each of them is, as an index into `names`; -1: nobody's; None: all's
    )
    names: tuple[str, ...] = ()  # of the sites
    holdout: Rows | None = None  # what this node alone keeps from training
    counts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what sites told of theirs, by name

    def __bool__(self) -> bool:
        return self.test is not None or self.holdout is not None or bool(self.counts)

    def rows_of(self, name: str) -> Rows | None:
        """Return the test rows of one site; None where it has none of its own."""
        from nervenet.models.data.data import rows_of

        if self.test is None or self.site_of is None or name not in self.names:
            return None
        place = (self.site_of == self.names.index(name)).nonzero()[0]
        X, *of_rows = self.test
        return (rows_of(X, place), *(values[place] for values in of_rows)) if len(place) else None


def common_report(site_model: SiteModel, weights: Any, judged: Judged) -> dict[str, Any]:
    """Return how a model does on all test rows, else on this node's own, else on those of which the sites have told.

    `report_of` with ``evaluated_on``, which is ``test`` or ``holdout``; ``sites``, how many have told. Empty without
    rows.
    """
    if judged.test is not None and len(judged.test[1]):
        return _report(site_model, weights, judged.test, "test")
    if judged.holdout is not None:
        return _report(site_model, weights, judged.holdout, "holdout")
    if not judged.counts:
        return {}
    from nervenet.models.score_counts import pooled
    from nervenet.models.score_report import report_of

    told = [judged.counts[name] for name in sorted(judged.counts)]
    found = report_of(pooled(told), site_model.preprocessing.classes)
    return {"evaluated_on": "holdout", "sites": len(told), **found}


def site_reports(site_model: SiteModel, models: Mapping[str, Any], judged: Judged) -> dict[str, dict[str, Any]]:
    """Return, by site, how its model does on its own rows: on its test rows, else on those of which it has told.

    `models` are the weights by site; a site that is left out has none.
    """
    from nervenet.models.score_report import report_of

    found: dict[str, dict[str, Any]] = {}
    for name, weights in sorted(models.items()):
        rows = judged.rows_of(name)
        if rows is not None:
            report = _report(site_model, weights, rows, "holdout")
        elif name in judged.counts:
            figures = report_of(judged.counts[name], site_model.preprocessing.classes)
            report = {"evaluated_on": "holdout", **figures}
        else:
            continue
        if report:
            found[name] = report
    return found


def _report(site_model: SiteModel, weights: Any, rows: Rows, evaluated_on: str) -> dict[str, Any]:
    from nervenet.models.score_report import report_on

    site_model.set_weights(weights)
    X, y, *weight = rows
    try:
        report = {"evaluated_on": evaluated_on, **report_on(site_model, X, y)}
        if weight:
            from nervenet.models.weighted_report import weighted_report_on

            report["weighted"] = weighted_report_on(site_model, X, y, *weight)
        return report
    except ValueError:  # a test row has a label that no site has
        return {}

"""The pipeline that suits a schema where the user brings none: scikit-learn's own steps, to be fitted on all sites.

Whoever loads the fitted pipeline needs NumPy and scikit-learn only, so its functions are NumPy's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import numpy as np

from ..moments import Moments
from ..preprocessing import CLIP
from ..site_statistics import Scale
from .schema import Schema
from .site_schema import SiteSchema

NO_DATE = -(2.0**63)
"""What a gap among dates becomes as a number."""

DAY_S = 86_400
PERIODS_S = {"year": 365.2425 * DAY_S, "week": 7 * DAY_S}

MANY_ROWS = 500
"""With fewer rows of all sites a date's place in year and week is noise to a model, and costs more than it tells."""


def auto_pipeline(
    schema: Schema, sites: Mapping[str, SiteSchema], scale: Scale, min_frequency: int | None = None
) -> Any:
    """Return an unfitted ColumnTransformer for the columns of a schema, all of which it uses; `sites` are all.

    Numbers: a gap is the median where any site has one, else, in rows to predict, the mean; then standardized and cut
    at 5 deviations. Categories: one column each, gaps a category of their own, one that no site has is none of them.
    Dates: the time since 1970 as a number, and sine and cosine of its place in the year and in the week, where the
    dates go through two of them, and there are `MANY_ROWS`.

    Parameters
    ----------
    scale
        Of numbers and dates, as for `site_statistics.agree`; but "unit" divides by the standard deviation.
    min_frequency
        Categories that fewer rows of all sites have are taken together; unknown ones count as such.
    """
    from sklearn.compose import ColumnTransformer

    numbers = schema.of_kind("number")
    with_gaps = [name for name, gaps in zip(schema.columns, schema.gaps, strict=True) if gaps]
    filled = {
        "median": [name for name in numbers if name in with_gaps],
        "mean": [name for name in numbers if name not in with_gaps],
    }
    parts = [
        *(
            ("number" if how == "mean" else "gaps", _number(how, scale), names)
            for how, names in filled.items()
            if names
        ),
        *(("category", _category(min_frequency), list(names)) for names in [schema.of_kind("category")] if names),
        *_dates(schema, sites, scale),
    ]
    return ColumnTransformer(parts, sparse_threshold=0)


def _number(how: str, scale: Scale) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    return Pipeline([("fill", SimpleImputer(strategy=how)), *_scaled(scale)])


def _scaled(scale: Scale) -> list[tuple[str, Any]]:
    from sklearn.preprocessing import StandardScaler

    if scale == "none":
        return []
    return [
        ("scale", StandardScaler(with_mean=scale == "standard")),
        ("cut", _function(np.clip, a_min=-CLIP, a_max=CLIP)),
    ]


def _category(min_frequency: int | None) -> Any:
    from sklearn.preprocessing import OneHotEncoder

    unknown = "ignore" if min_frequency is None else "infrequent_if_exist"
    return OneHotEncoder(sparse_output=False, handle_unknown=unknown, min_frequency=min_frequency)


def _dates(schema: Schema, sites: Mapping[str, SiteSchema], scale: Scale) -> Iterator[tuple[str, Any, list[str]]]:
    """Return a part for all dates with the same cycles."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name in schema.of_kind("date"):
        together.setdefault(_cycles(name, sites), []).append(name)
    for cycles, names in together.items():
        yield "+".join(("date", *cycles)), _date(scale, cycles), names


def _cycles(column: str, sites: Mapping[str, SiteSchema]) -> tuple[str, ...]:
    """Return the periods through which a column's dates go twice, as far as their spread tells: even dates have
    span / sqrt(12).
    """
    present = {name: site.present(site.columns.index(column)) for name, site in sites.items()}
    if sum(present.values()) < MANY_ROWS:
        return ()
    spread = reduce(Moments.merge, (_moments(column, sites[name]) for name in present if present[name])).deviation[0]
    return tuple(name for name, period in PERIODS_S.items() if spread * math.sqrt(12) >= 2 * period)


def _moments(column: str, site: SiteSchema) -> Moments:
    place, inputs = site.columns.index(column), site.statistics.inputs
    return Moments(inputs.n, inputs.mean[place : place + 1], inputs.m2[place : place + 1])


def _date(scale: Scale, cycles: tuple[str, ...]) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, Pipeline

    elapsed = Pipeline(_scaled(scale)) if scale != "none" else _function(np.positive)
    parts = [("elapsed", elapsed)]
    for name in cycles:
        angle = ("angle", _function(np.dot, b=2 * math.pi / PERIODS_S[name]))
        parts += [
            (f"sine of the {name}", Pipeline([angle, ("sine", _function(np.sin))])),
            (f"cosine of the {name}", Pipeline([angle, ("cosine", _function(np.cos))])),
        ]
    return Pipeline(
        [
            ("seconds", _function(np.asarray, dtype="datetime64[s]")),
            ("number", _function(np.asarray, dtype="float64")),
            ("fill", SimpleImputer(missing_values=NO_DATE, strategy="median")),
            ("parts", FeatureUnion(parts)),
        ]
    )


def _function(function: Any, **arguments: Any) -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(function, kw_args=arguments or None, feature_names_out="one-to-one")

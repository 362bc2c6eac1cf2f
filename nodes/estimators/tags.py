"""What an estimator says of itself to scikit-learn, taken over from the one that it wraps."""

from __future__ import annotations

from typing import Any

OF_INPUT = ("string", "categorical", "positive_only")
BEFORE_16 = ("requires_y", "requires_positive_X")
"""Their names before scikit-learn 1.6."""
KEPT = ["float64"]
"""What is fitted is float64, so that rows of another type may come out as that."""


def take_over(tags: Any, inner: Any) -> Any:
    """Return the tags of a transformer with those of the wrapped one that hold for it, too."""
    from sklearn.utils import get_tags

    found = get_tags(inner)
    for name in OF_INPUT:
        setattr(tags.input_tags, name, getattr(found.input_tags, name))
    tags.input_tags.allow_nan = takes_gaps(inner)
    tags.transformer_tags.preserves_dtype = KEPT
    tags.target_tags.required = found.target_tags.required
    return tags


def more_tags(inner: Any) -> dict[str, Any]:
    """Return the same as scikit-learn before 1.6 has it."""
    known = inner._get_tags()
    own = {"X_types": ["2darray"], "allow_nan": takes_gaps(inner), "preserves_dtype": KEPT}
    return {name: known[name] for name in BEFORE_16} | own


def takes_gaps(inner: Any) -> bool:
    """Whether rows may have NaN where they enter a transformer: what none of its first steps takes, these refuse."""
    if isinstance(inner, str) or inner is None:
        return True
    if steps := getattr(inner, "steps", None):
        return takes_gaps(steps[0][1])
    parts = getattr(inner, "transformers", None) or getattr(inner, "transformer_list", None)
    if parts:
        return any(takes_gaps(part[1]) for part in parts)
    return input_tag(inner, "allow_nan", lambda tags: tags["allow_nan"])


def takes_text(inner: Any) -> bool:
    """Whether an array of texts may enter a transformer."""
    if steps := getattr(inner, "steps", None):
        return takes_text(steps[0][1])
    parts = getattr(inner, "transformers", None) or getattr(inner, "transformer_list", None)
    if parts:
        return any(takes_text(part[1]) for part in parts)
    if isinstance(inner, str) or inner is None:
        return False
    named = (("string", "string"), ("categorical", "categorical"))
    return any(input_tag(inner, name, lambda tags, before=before: before in tags["X_types"]) for name, before in named)


def input_tag(inner: Any, name: str, before: Any) -> bool:
    """Return one of the tags of inputs; `before` makes it of those that scikit-learn had before 1.6."""
    if hasattr(inner, "__sklearn_tags__"):
        from sklearn.utils import get_tags

        return bool(getattr(get_tags(inner).input_tags, name))
    return bool(before(inner._get_tags()))


def kind_of(inner: Any) -> Any:
    """Return "classifier", "regressor" or None, as scikit-learn before 1.6 asks for it."""
    return getattr(inner, "_estimator_type", None)


def take_kind(tags: Any, inner: Any) -> Any:
    """Return the tags of a search with what the estimator is that it searches for."""
    from sklearn.utils import get_tags

    found = get_tags(inner)
    tags.estimator_type = found.estimator_type
    tags.classifier_tags, tags.regressor_tags = found.classifier_tags, found.regressor_tags
    tags.target_tags = found.target_tags
    return tags

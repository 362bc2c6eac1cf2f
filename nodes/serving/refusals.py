"""Requests that are not answered, each with its status and a reason that names what was found and what is expected."""

from __future__ import annotations

from typing import Any, ClassVar

FIELD = "X_test"


class Refusal(ValueError):
    """A request that cannot be answered."""

    status: ClassVar[int] = 400


class Malformed(Refusal):
    """A request that holds no rows for the model; the message names the field, what was expected and what was found."""

    status = 422


class UnknownFormat(Refusal):
    """A body in a format that is not read here."""

    status = 415


class NotOffered(Refusal):
    """An answer in a format that is not written here."""

    status = 406


class NothingToTell(Refusal):
    """A question that this model has no answer to."""

    status = 404


class NoModelYet(Refusal):
    """There is no model to ask yet."""

    status = 503


def check_rows(count: int, most: int) -> None:
    """Raise `Malformed` for more rows than one request may have."""
    if count > most:
        raise Malformed(f"{FIELD} has {count} rows; expected at most {most} in one request")


def kind_of(value: Any) -> str:
    """Return what a value of JSON is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")

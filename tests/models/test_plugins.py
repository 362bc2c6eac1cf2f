"""Choices by name: those built in, and what is said of a name that is none. Entry points: see test_extending."""

import difflib

import pytest
from nervenet.models.plugins import Registry, lacks, plugin_info, suggest

FRUIT: Registry[type] = Registry("basket.fruit", "nervenet.no_such_group", {"path": "pathlib:Path", "int": int})


class Documented:
    """Count what is there (Peano 1889), and nothing else.

    From zero on.
    """


def test_a_choice_is_imported_or_taken_as_it_is() -> None:
    from pathlib import Path

    assert FRUIT["path"] is Path
    assert FRUIT["int"] is int
    assert list(FRUIT) == ["path", "int"]
    assert "int" in FRUIT
    assert "pear" not in FRUIT


def test_an_unknown_name_suggests_the_near_one() -> None:
    with pytest.raises(ValueError, match=r"basket.fruit = 'pat': expected one of path, int \(did you mean path\?\)"):
        FRUIT["pat"]
    assert suggest("zebra", ["path"]) == ""


def test_the_last_part_of_a_dotted_name_is_near_however_long_the_whole_is() -> None:
    known = ["sklearn.linear_model.SGDClassifier", "sklearn.linear_model.LogisticRegression", "SGDClassification"]
    for word in ("SGDClassifier", "sgdclassifier"):
        assert suggest(word, known) == " (did you mean sklearn.linear_model.SGDClassifier?)"
    assert difflib.get_close_matches("SGDClassifier", known[:2]) == [], "which spelling alone would not find"


def test_what_a_foreign_class_lacks_is_named() -> None:
    assert lacks(Documented, "fit", "__doc__", "predict") == "lacks fit, predict"
    assert lacks(Documented(), "__doc__") == "is no class"
    assert lacks(Documented, "__doc__") == ""


def test_a_docstring_gives_summary_paper_and_details() -> None:
    info = plugin_info("count", Documented, {"start": 0})
    assert (info.summary, info.paper) == ("Count what is there, and nothing else", "Peano 1889")
    assert info.details == "From zero on."
    with pytest.raises(ValueError, match="float: the docstring must begin with a summary and a paper"):
        plugin_info("float", float, {})

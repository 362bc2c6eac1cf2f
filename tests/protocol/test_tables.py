"""What docs/protocol.md says of round 0 of tables is what the code asks, answers and agrees on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.models.agreement.order_statistics import MOST_PREFIXES, WIDTHS
from nervenet.models.agreement.questions import MOST_QUESTIONS, Answer, Dialog
from nervenet.models.pipeline.asked import EVERY, PARTS
from nervenet.models.pipeline.categories import MOST_TEXT, MOST_VALUES
from nervenet.models.pipeline.decomposition import MOST_COLUMNS
from nervenet.models.pipeline.fit import MOST_LEARNED
from nervenet.models.pipeline.parts import TOLD
from nervenet.models.pipeline.targets import MOST_CLASSES
from nervenet.models.pipeline.values import NUMBER_TYPES
from nervenet.models.site_agreement import TABLE
from nervenet.models.tables.site_schema import LONGEST_CATEGORY, MOST_CATEGORIES
from nervenet.models.tables.table import GAP, Kind, Table
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, chi2, f_classif
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler, TargetEncoder

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
ROUND_0 = PAGE.split("### 6.9 ")[1].split("\n## ")[0]
SECTIONS = dict(re.findall(r"^#### (.*?)\n(.*?)(?=^#### |\Z)", ROUND_0, re.MULTILINE | re.DOTALL))
FIT = SECTIONS["Question `fit`"]


def rows_of(text: str, columns: int) -> dict[str, tuple[str, ...]]:
    """Return the rows of the tables that have so many columns, by what stands in the first."""
    lines = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    found = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return {row[0].strip("`"): row[1:] for row in found if len(row) == columns and row[0].startswith("`")}


def named(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def site(seed: int) -> SiteModel:
    rng = np.random.default_rng(seed)
    age, dose = rng.normal(50.0, 10.0, 40), rng.random(40)
    age[::5] = np.nan
    ward = rng.choice(np.array(["north", "south"], object), 40)
    ward[::7] = GAP
    pipeline = ColumnTransformer(
        [
            ("fill", make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), PCA(1)), ["age", "dose"]),
            ("mean", make_pipeline(SimpleImputer(), SelectKBest(f_classif, k=1)), ["age", "dose"]),
            ("low", make_pipeline(MinMaxScaler(), SelectKBest(chi2, k=1)), ["dose"]),
            ("ward", OneHotEncoder(sparse_output=False), ["ward"]),
            ("by ward", TargetEncoder(), ["ward"]),
        ]
    )
    table = Table(("age", "dose", "ward"), ("number", "number", "category"), (age, dose, ward))
    return SiteModel(MLP((4,)), table, (dose > 0.5).astype(int), preprocess=pipeline)


@pytest.fixture(scope="module")
def dialog() -> tuple[list[dict[str, Any]], list[Answer], dict[str, Any]]:
    """Return the questions of a dialog, a site's answers, and what was agreed."""
    sites = {name: site(k) for k, name in enumerate("ab")}
    going = Dialog(sites["a"].questions())
    questions, answers = [], []
    while going.question is not None:
        told = {name: one.answer(going.question) for name, one in sites.items()}
        questions.append(dict(going.question))
        answers.append(told["a"])
        going.take(told)
    assert going.agreed is not None
    return questions, answers, going.agreed.preprocessing.to_dict()


def parts_of(question: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the questions that are asked at once, each with what it shares with the others."""
    if "questions" not in question:
        return [question]
    shared = {key: value for key, value in question.items() if key != "questions"}
    return [part for one in question["questions"] for part in parts_of({**shared, **one})]


def test_the_survey_of_a_table_has_the_fields_that_are_described(dialog: Any) -> None:
    _, answers, _ = dialog
    described = rows_of(SECTIONS["Survey of a table"], 3)
    assert set(described) == {*answers[0].fields, "written"}
    assert named(described["kinds"][1]) == set(get_args(Kind))
    assert f"more than {MOST_CATEGORIES}" in described["categories"][1]
    assert f"more than {LONGEST_CATEGORY} characters" in described["categories"][1]


def test_each_question_has_the_fields_that_are_described(dialog: Any) -> None:
    questions, _, _ = dialog
    assert questions[0] == {}
    described = rows_of(FIT.split("The parts,")[0], 3)
    assert set(described) == {*EVERY, "class", TABLE, "questions"}
    asked = {key for question in questions for one in (question, *parts_of(question)) for key in one}
    further = {name for fields in PARTS.values() for name in fields}
    assert asked <= set(described) | further


def test_every_part_is_described_with_its_fields(dialog: Any) -> None:
    table = re.search(r"^\| part \|.*?\n\n", FIT, re.MULTILINE | re.DOTALL)
    assert table
    lines = [line.strip("|").split("|") for line in table.group().strip().splitlines()[2:]]
    found = {cells[0].strip().strip("`"): named(cells[1]) for cells in lines}
    assert found == {part: set(fields) for part, fields in PARTS.items()}
    assert set(PARTS) == {*TOLD, "outputs"}
    told = {cells[0].strip().strip("`"): named(cells[2]) for cells in lines}
    questions, answers, _ = dialog
    for question, answer in zip(questions[1:], answers[1:], strict=True):
        if "questions" not in question:
            assert set(answer.fields) == told[question["part"]]
        else:
            assert set(answer.fields) == {"parts", "lengths"}
    seen = {part["part"] for question in questions[1:] for part in parts_of(question)}
    assert len(seen) >= 10, seen


def test_the_agreement_has_the_fields_that_are_described(dialog: Any) -> None:
    _, _, agreed = dialog
    described = rows_of(SECTIONS["The agreement on tables"], 3)
    assert set(described) == {*agreed, "class_weights", "pooled"}
    for name in ("schema", "pipeline", "fitted"):
        assert set(agreed[name]) <= named(described[name][1])


@pytest.mark.parametrize(
    "promise",
    [
        f"at most {MOST_LEARNED:,} values",
        f"of {MOST_PREFIXES:,} at most in all",
        f"`bits`, {', '.join(map(str, WIDTHS[:-1]))} or {WIDTHS[-1]}",
        f"at most {MOST_CLASSES:,} labels",
        f"at most {MOST_VALUES:,} of a column, and {MOST_TEXT:,} characters",
        f"at most {MOST_COLUMNS:,} columns",
    ],
)
def test_the_code_keeps_the_limits_of_the_document(promise: str) -> None:
    assert promise in " ".join(FIT.split())


def test_the_types_of_columns_are_those_that_are_described() -> None:
    words = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}
    assert words | {"bool"} == NUMBER_TYPES
    assert "`bool`, or `int`, `uint` or `float` and 8 to 64 bits" in FIT


def test_a_dialog_has_as_many_questions_at_most_as_is_said() -> None:
    assert f"more than {MOST_QUESTIONS:,} questions has failed" in " ".join(PAGE.split())

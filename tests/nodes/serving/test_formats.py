"""Bodies and answers as CSV and Arrow: the same predictions as by JSON, and a reason for what is not read."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.models.agreement.questions import settle
from nervenet.models.tables.table import Table
from nervenet.nodes.serving import answers as module
from nervenet.nodes.serving import formats
from nervenet.nodes.serving.answers import Answer, Answers, Asked
from nervenet.nodes.serving.formats import ARROW, CSV, JSON, asked_for, charset_of, sent_as
from nervenet.nodes.serving.refusals import NotOffered, UnknownFormat

pa = pytest.importorskip("pyarrow")

ROWS = [[0.0, 0.5, 0.25], [5.0, 5.5, 5.0], [10.0, 10.0, 9.75]]
CSV_ROWS = b"petal length,sepal length,sepal width\n0.25,0,0.5\n5.0,5.0,5.5\n9.75,10,10.0\n"


def stream(columns: dict[str, Any], **options: Any) -> bytes:
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def arrow_rows(rows: list[list[float]], names: tuple[str, ...], **options: Any) -> bytes:
    return stream({name: [row[place] for row in rows] for place, name in enumerate(names)}, **options)


def said(answer: Answer) -> str:
    assert answer.media == JSON
    return answer.body.decode()


# which format


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/x-www-form-urlencoded", JSON),  # what curl -d says
        ("application/problem+json", JSON),
        ("TEXT/CSV;charset=utf-8", CSV),
        (ARROW, ARROW),
    ],
)
def test_a_body_is_in_the_format_that_its_header_says(header: str, found: str) -> None:
    assert sent_as(header) == found


def test_another_format_and_a_packed_body_are_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"Content-Type is 'image/png'; expected application/json, text/csv or"):
        sent_as("image/png")
    with pytest.raises(UnknownFormat, match=r"Content-Encoding is 'gzip'; expected a body that is not packed"):
        sent_as("text/csv", "gzip")


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "installed", lambda package: package != "pyarrow")
    for asked in (sent_as, asked_for):
        asked.cache_clear()
    try:
        with pytest.raises(UnknownFormat, match=r'pip install "nervenet\[tables\]"'):
            sent_as(ARROW)
        with pytest.raises(NotOffered, match=r'expected application/json or text/csv; .*"nervenet\[tables\]"'):
            asked_for(ARROW)
    finally:
        for asked in (sent_as, asked_for):
            asked.cache_clear()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("application/json;q=0.5, text/csv", CSV),
        ("application/json;q=0, */*", CSV),
        (f"{ARROW}, */*;q=0.1", ARROW),
    ],
)
def test_the_answer_has_the_format_that_is_liked_best(header: str, found: str) -> None:
    assert asked_for(header) == found


@pytest.mark.parametrize("header", ["image/png", "text/csv;q=0", "application/json;q=much"])
def test_what_admits_none_of_them_is_refused(header: str) -> None:
    with pytest.raises(NotOffered, match="expected application/json, text/csv or"):
        asked_for(header)


# rows


def bodies(names: tuple[str, ...]) -> list[tuple[bytes, str]]:
    return [(CSV_ROWS, CSV), (arrow_rows(ROWS, names), ARROW)]


def test_every_format_is_read_alike(numbers: SiteModel, texts: SiteModel, quantities: SiteModel) -> None:
    for model in (numbers, texts, quantities):
        answers = Answers(model)
        wanted = answers.predict(str({"X_test": ROWS}).replace("'", '"').encode())
        assert wanted.status == 200
        for body, media in bodies(model.preprocessing.columns):
            assert answers.predict(body, Asked(media)) == wanted


CITIES = np.array(["Zürich", "Köln"])[np.arange(40) % 2]


@pytest.fixture(scope="module")
def cities() -> SiteModel:
    """A model for which the letters of a cell matter."""
    table = Table(("city",), ("category",), (CITIES.astype(object),))
    site = SiteModel(MLP(hidden=(4,)), table, np.where(CITIES == "Köln", "north", "south"))
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, seed=0)
    return site


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", '"windows-1252"', "mac-roman", "utf-16", "utf-8"])
def test_csv_is_in_the_charset_of_its_header(cities: SiteModel, charset: str) -> None:
    answers, asked = Answers(cities), Asked(f"text/csv; header=present; charset={charset}", CSV)
    lines = "city\nZürich\nKöln\nelsewhere\n"
    wanted = answers.predict(lines.encode(), Asked(CSV, CSV), proba=True)
    assert wanted.status == 200
    assert answers.predict(lines.encode(charset.strip('"')), asked, proba=True) == wanted


def test_by_its_bytes_alone_a_city_would_be_another(cities: SiteModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, lines, asked = Answers(cities), "city\nKöln\n", Asked("text/csv; charset=mac-roman", CSV)
    found = answers.predict(lines.encode("mac-roman"), asked, proba=True)
    assert found == answers.predict(lines.encode(), Asked(CSV, CSV), proba=True)
    monkeypatch.setattr(module, "charset_of", lambda _: "utf-8")
    assert answers.predict(lines.encode("mac-roman"), asked, proba=True) != found


def test_a_charset_that_is_none_or_does_not_fit_is_named(cities: SiteModel) -> None:
    answers = Answers(cities)
    unknown = answers.predict(b"city\nKoeln\n", Asked("text/csv; charset=martian"))
    assert (unknown.status, "'martian'; expected utf-8, latin-1" in said(unknown)) == (415, True)
    other = answers.predict("city\nKöln\n".encode("latin-1"), Asked("text/csv; charset=euc-jp"))
    assert (other.status, "the body is not in euc_jp, its charset: byte" in said(other)) == (422, True)


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "undefined", "hex", "rot13", '"a\0b"', '""'])
def test_what_is_a_codec_and_no_charset_is_refused(charset: str) -> None:
    with pytest.raises(UnknownFormat, match="expected utf-8, latin-1 or the like"):
        charset_of(f"text/csv; charset={charset}")


def test_decimals_are_numbers(numbers: SiteModel, quantities: SiteModel) -> None:
    for model in (numbers, quantities):
        answers = Answers(model)
        columns = {
            name: pa.array([Decimal(str(row[place])) for row in ROWS], pa.decimal128(38, 2))
            for place, name in enumerate(model.preprocessing.columns)
        }
        assert answers.predict(stream(columns), Asked(ARROW)) == answers.predict(CSV_ROWS, Asked(CSV))


def test_further_columns_are_ignored(numbers: SiteModel) -> None:
    answers = Answers(numbers)
    wanted = answers.predict(CSV_ROWS, Asked(CSV)).body
    lines = CSV_ROWS.decode().splitlines()
    with_id = "\n".join(f"{'id' if not n else f'p{n}'},{line}" for n, line in enumerate(lines)).encode()
    assert answers.predict(with_id, Asked(CSV)).body == wanted
    names = numbers.preprocessing.columns
    columns = {"id": ["p1", "p2", "p3"]} | {name: [row[k] for row in ROWS] for k, name in enumerate(names)}
    assert answers.predict(stream(columns), Asked(ARROW)).body == wanted


def test_the_cells_of_a_table_are_read_as_the_sites_read_theirs(table: SiteModel) -> None:
    answers = Answers(table)
    wanted = answers.predict(b'{"X_test": [[50, "eye", "2026-01-31"], [null, "ear", null]]}')
    assert answers.predict(b"day,age,ward\n2026-01-31,50,eye\n,,ear\n", Asked(CSV)) == wanted
    columns = {
        "ward": pa.array(["eye", "ear"]).dictionary_encode(),
        "age": [50, None],
        "day": pa.array([dt.date(2026, 1, 31), None]),
    }
    assert answers.predict(stream(columns), Asked(ARROW)) == wanted


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ["the body is empty", "a header line"]),
        (b"\n \n", ["the body is empty"]),
        (b"sepal length,sepal width\n1,2\n", ["the body: no column 'petal length'", "sepal length, sepal width"]),
        (
            b"sepal length,sepal width,petal length\n1,2,x\n",
            ['the body: line 2, column "petal length"', 'found text "x"'],
        ),
        (b"sepal length,sepal width,petal length\n1,2,\n", ["line 2", "expected a number"]),
        (b"sepal length,sepal width,petal length\n1,2\n", ["the body: line 2 has 2 cells"]),
        (b"sepal length,sepal width,petal length\n" + b"1,2,3\n" * 12, ["12 rows", "at most 11"]),
        (b"\xff\xfe\x00", ["the body"]),
    ],
)
def test_csv_that_cannot_be_used_is_named_by_line_and_column(numbers: SiteModel, body: bytes, words: list[str]) -> None:
    answer = Answers(numbers, max_rows=11).predict(body, Asked(CSV))
    assert answer.status == 422
    assert [word for word in words if word not in said(answer).replace('\\"', '"')] == []


def test_arrow_that_cannot_be_used_is_named(numbers: SiteModel) -> None:
    answers = Answers(numbers, max_rows=11)
    names = numbers.preprocessing.columns
    one = {name: [1.0] for name in names}
    last = names[-1]
    for body, words in (
        (b"garbage", ["is no stream of Arrow record batches"]),
        (arrow_rows(ROWS, names)[:-200], ["is no stream of Arrow record batches"]),
        (arrow_rows(ROWS * 4, names), ["12 rows", "at most 11"]),
        (arrow_rows(ROWS * 40, names, compression="zstd"), ["packed record batches", "without compression"]),
        (stream({name: one[name] for name in names[:-1]}), [f"no column '{last}'"]),
        (stream(one | {last: ["x"]}), [f"column '{last}' is of type string", "expected numbers"]),
        (stream(one | {last: [[1.0]]}), [f"column '{last}' is of type list<", "expected numbers, text"]),
        (stream(one | {last: pa.array([None], pa.float64())}), [f"X_test row 0, column '{last}' is null"]),
        (stream(one | {last: [float("nan")]}), [f"X_test row 0, column '{last}' is nan", "a finite number"]),
    ):
        answer = answers.predict(body, Asked(ARROW))
        assert answer.status == 422
        assert [word for word in words if word not in said(answer)] == []


def test_columns_of_few_bytes_and_many_rows_are_refused(numbers: SiteModel) -> None:
    names = numbers.preprocessing.columns
    few = pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array([1.0]))
    answer = Answers(numbers).predict(stream(dict.fromkeys(names, few)), Asked(ARROW))
    assert (answer.status, "run_end_encoded" in said(answer)) == (422, True)
    nothing = pa.nulls(12)
    answer = Answers(numbers, max_rows=11).predict(stream(dict.fromkeys(names, nothing)), Asked(ARROW))
    assert (answer.status, "12 rows" in said(answer)) == (422, True)


# answers


def test_predictions_are_written_in_every_format(numbers: SiteModel, texts: SiteModel, quantities: SiteModel) -> None:
    for model in (numbers, texts, quantities):
        answers = Answers(model)
        y = model.predict(ROWS).tolist()
        as_csv = answers.predict(CSV_ROWS, Asked(CSV, CSV))
        assert (as_csv.status, as_csv.media) == (200, CSV)
        assert read_csv(as_csv.body) == [["prediction"], *([str(value)] for value in y)]
        as_arrow = answers.predict(CSV_ROWS, Asked(CSV, ARROW))
        assert as_arrow.media == ARROW
        assert pa.ipc.open_stream(as_arrow.body).read_all().to_pydict() == {"prediction": y}


def read_csv(body: bytes) -> list[list[str]]:
    import csv

    return list(csv.reader(io.StringIO(body.decode())))


def test_probabilities_are_written_in_every_format(texts: SiteModel) -> None:
    import json

    answers, found = Answers(texts), texts.predict_proba(ROWS)
    assert found is not None
    told = json.loads(answers.predict(CSV_ROWS, Asked(CSV), proba=True).body)
    assert told == {"classes": ["a", "b,", 'c"'], "y_proba": found.tolist()}
    header, *rows = read_csv(answers.predict(CSV_ROWS, Asked(CSV, CSV), proba=True).body)
    assert header == ["probability a", "probability b,", 'probability c"']
    assert np.array(rows, np.float64).tolist() == found.tolist()
    read = pa.ipc.open_stream(answers.predict(CSV_ROWS, Asked(CSV, ARROW), proba=True).body).read_all()
    assert read.column("probability a").to_pylist() == found[:, 0].tolist()


def test_no_rows_are_answered_in_every_format(numbers: SiteModel, quantities: SiteModel) -> None:
    for model in (numbers, quantities):
        answers = Answers(model)
        for accept, body in ((JSON, b'{"y_pred":[]}'), (CSV, b"prediction\n")):
            assert answers.predict(b'{"X_test": []}', Asked(accept=accept)).body == body
        empty = answers.predict(b'{"X_test": []}', Asked(accept=ARROW)).body
        assert pa.ipc.open_stream(empty).read_all().num_rows == 0
    told = Answers(numbers).predict(b'{"X_test": []}', proba=True)
    assert told.body == b'{"classes":[7,8,9],"y_proba":[]}'


def test_who_has_no_probabilities_says_so(quantities: SiteModel) -> None:
    answer = Answers(quantities).predict(b'{"X_test": []}', proba=True)
    assert (answer.status, "predicts a quantity" in said(answer)) == (404, True)


def test_a_format_that_is_not_there_has_a_status_of_its_own(numbers: SiteModel) -> None:
    answers = Answers(numbers)
    assert answers.predict(b"{}", Asked("image/png")).status == 415
    assert answers.predict(b"{}", Asked(accept="image/png")).status == 406

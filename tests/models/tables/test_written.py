"""How sites write their cells is agreed in round 0, and part of the model: rows to predict are read as theirs were."""

from pathlib import Path

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel, load_model, save_model, site_statistics
from nervenet.models.agreement.questions import settle
from nervenet.models.data.data import DataError
from nervenet.models.data.written import MOST, MOST_AGREED, Written, merged, written_from_dict, written_to_dict
from nervenet.models.moments import IncompatibleSites
from nervenet.models.preprocessing import Preprocessing
from nervenet.models.table_preprocessing import preprocessing_of
from nervenet.models.tables import schema
from nervenet.models.tables.dates import DAY_FIRST, read_dates
from nervenet.models.tables.frames import table_of
from nervenet.models.tables.inputs import read_inputs, read_numbers
from nervenet.models.tables.load import load_file
from nervenet.models.tables.options import ColumnOptions, ReadOptions

GERMAN = "day;dose;ward;n;y\n" + "".join(
    f"{day:02}/0{1 + day % 9}/2026;{day},5;{'ab?'[day % 3]};{-9 if day % 7 == 0 else day};{'pq'[day % 2]}\n"
    for day in range(1, 29)
)
PLAIN = "ward,day,n,dose,y\n" + "".join(
    f"{['a', 'b', 'unknown'][day % 3]},2026-02-{day:02},{day + 1},{day}.25,{'pq'[day % 2]}\n" for day in range(1, 29)
)
SAID = {"german": {"n": ColumnOptions(gaps=("-9",))}, "plain": {"ward": ColumnOptions(gaps=("unknown",))}}
WRITTEN = {
    "day": Written((DAY_FIRST,)),
    "dose": Written(("1,5",)),
    "n": Written(gaps=("-9",)),
    "ward": Written(gaps=("unknown",)),
}


def learned(folder: Path, said=SAID, **texts: str):
    """Return what sites with these files agree on, as a model's file has it."""
    sites = {}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
        found = load_file(folder / f"{name}.csv", ReadOptions(columns=said.get(name, {})))
        sites[name] = SiteModel(MLP(hidden=(4,)), found.X, found.y, columns=found.columns, written=found.written)
    questions = sites["plain"].questions()
    agreed = settle(questions, {name: site.answer for name, site in sites.items()}).preprocessing
    for site in sites.values():
        site.build(agreed, seed=0)
    save_model(folder / "model", sites["plain"])
    return load_model(folder / "model")


@pytest.fixture
def model(tmp_path):
    return learned(tmp_path, german=GERMAN, plain=PLAIN)


def read(model, folder: Path, text: str):
    (folder / "new.csv").write_text(text)
    agreed = model.preprocessing
    return read_inputs(folder / "new.csv", agreed.columns, agreed.schema.kinds, agreed.schema.written).table


def test_formats_and_gap_words_are_in_the_models_file(model, tmp_path):
    assert model.preprocessing.schema.written == WRITTEN
    german = read(model, tmp_path, 'day;dose;ward;n\n03/04/2026;"1,500";unknown;-9\n')
    plain = read(model, tmp_path, "n,day,ward,dose\n,2026-04-03,,1.5\n")
    assert german["day"].astype(str).tolist() == ["2026-04-03T00:00:00"]
    assert german["dose"].tolist() == [1.5]
    assert [german.gaps(name).tolist() for name in ("ward", "n")] == [[True], [True]]
    rows = [{"day": "03/04/2026", "dose": 1.5, "ward": "unknown", "n": -9}]
    wanted = model.predict_proba(plain)
    assert np.array_equal(model.predict_proba(german), wanted)
    assert np.array_equal(model.predict_proba(rows), wanted)


def test_frames_are_read_alike(model):
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"day": ["03/04/2026"], "dose": ["1,500"], "ward": ["unknown"], "n": [-9]})
    rows = [{"day": "03/04/2026", "dose": 1.5, "ward": None, "n": None}]
    kinds = dict(zip(model.preprocessing.columns, model.preprocessing.schema.kinds, strict=True))
    assert table_of(frame, kinds, written=WRITTEN)["dose"].tolist() == [1.5]
    assert np.array_equal(model.predict_proba(frame), model.predict_proba(rows))


def test_without_an_agreement_on_them_the_same_rows_are_refused_or_misread(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "merged", lambda _: {})
    model = learned(tmp_path, german=GERMAN, plain=PLAIN)
    text = "day;dose;ward;n\n{};{};a;-9\n"
    with pytest.raises(DataError, match='"03/04/2026" can be day/month/year or month/day/year: write it as in'):
        read(model, tmp_path, text.format("03/04/2026", "1,5"))
    with pytest.raises(DataError, match='"1,500" has a decimal comma or a comma between thousands: write it with'):
        read(model, tmp_path, text.format("2026-04-03", "1,500"))
    assert read(model, tmp_path, text.format("2026-04-03", "1,5"))["n"].tolist() == [-9.0]


def test_plain_numbers_have_their_decimal_commas(tmp_path, monkeypatch):
    texts = {
        "german": "a;y\n" + "".join(f"{row},5;{'pq'[row % 2]}\n" for row in range(10)),
        "plain": "a,y\n" + "".join(f"{row}.25,{'pq'[row % 2]}\n" for row in range(10)),
    }
    agreed = learned(tmp_path, {}, **texts).preprocessing
    assert isinstance(agreed, Preprocessing)
    (tmp_path / "new.csv").write_text('a;b\n"1,500";x\n')
    assert read_numbers(tmp_path / "new.csv", agreed.columns, agreed.written).X.tolist() == [[1.5]]
    monkeypatch.setattr(site_statistics, "merged", lambda _: {})
    agreed = learned(tmp_path, {}, **texts).preprocessing
    with pytest.raises(DataError, match="has a decimal comma or a comma between thousands"):
        read_numbers(tmp_path / "new.csv", agreed.columns, agreed.written)


def test_where_sites_write_both_ways_a_cell_that_can_be_either_is_refused(tmp_path):
    both = {"day": Written(("%d/%m/%Y", "%m/%d/%Y")), "dose": Written(("1,5", "1,500"))}

    def found(text: str, name: str, kind: str):
        (tmp_path / "new.csv").write_text(text)
        return read_inputs(tmp_path / "new.csv", (name,), (kind,), both).table[name].astype(str).tolist()

    assert found("day\n31/01/2026\n", "day", "date") == ["2026-01-31T00:00:00"]
    assert found("day\n2026-01-31\n05/05/2026\n", "day", "date") == ["2026-01-31T00:00:00", "2026-05-05T00:00:00"]
    with pytest.raises(DataError, match=r'line 3, column "day": found a cell that can be either .*as in 2026-01-31'):
        found("day\n2026-01-31\n03/04/2026\n", "day", "date")
    assert found('dose\n"1,5"\n', "dose", "number") == ["1.5"]
    assert found("dose\n1.5\n", "dose", "number") == ["1.5"]
    with pytest.raises(DataError, match=r'line 2, column "dose": .* 1,5 and 1,500'):
        found('dose\n"1,500"\n', "dose", "number")


def test_advice_names_options_only_where_there_are_some(tmp_path):
    (tmp_path / "new.csv").write_text("a,y\n1,p\n2,q\nold,p\n")
    with pytest.raises(DataError, match=r"--categorical a .*--set 'data\.columns\.a\.gaps"):
        load_file(tmp_path / "new.csv")
    with pytest.raises(DataError, match='line 4, column "a": found text "old", expected a number; an empty') as refused:
        read_inputs(tmp_path / "new.csv", ("a",), ("number",))
    assert "--" not in str(refused.value)


def test_numbers_of_a_file_with_types_may_be_said_to_be_gaps(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(
        pa.table({"a": [1, -999, 3], "b": [0.5, 1.5, 2.5], "y": ["p", "q", "p"]}), tmp_path / "a.parquet"
    )
    said = ReadOptions(columns={"a": ColumnOptions(gaps=("-999",))})
    found = load_file(tmp_path / "a.parquet", said)
    assert found.X.gaps("a").tolist() == [False, True, False]


def test_what_sites_say_adds_up():
    only_empty, word = {"a": Written(gaps=())}, {"a": Written(gaps=("x",)), "b": Written(("%d",))}
    assert merged([only_empty, only_empty]) == only_empty
    assert merged([only_empty, {}]) == {}
    assert merged([only_empty, word, {}]) == word
    assert merged([{"b": Written(("%m",))}, word]) == {"a": Written(gaps=("x",)), "b": Written(("%d", "%m"))}


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"c": {"formats": [], "gaps": None}},
        {"a": {"formats": "x", "gaps": None}},
        {"a": {"formats": ["x" * 201], "gaps": None}},
        {"a": {"formats": ["x"] * (MOST_AGREED + 1), "gaps": None}},
        {"a": {"formats": [], "gaps": [1]}},
        {"a": 1},
    ],
)
def test_what_no_honest_site_says_is_refused(told):
    with pytest.raises(ValueError, match="column"):
        written_from_dict({"written": told}, ["a", "b"])
    fields = {"kind": "table", "schema": {"columns": ["a"], "kinds": ["number"], "gaps": [True], "written": told}}
    with pytest.raises(IncompatibleSites):
        preprocessing_of(fields)


def test_sites_together_may_say_more_than_one_alone():
    sites = [{"a": Written(gaps=tuple(f"{site}-{word}" for word in range(MOST)))} for site in range(3)]
    agreed = written_to_dict(merged(sites))
    with pytest.raises(ValueError, match=f"at most {MOST} texts"):
        written_from_dict(agreed, ["a"])
    fields = {"kind": "table", "columns": ["a"], "kinds": ["number"], "gaps": [True], **agreed}
    assert len(schema.Schema.from_dict(fields).written["a"].gaps) == 3 * MOST


def test_what_is_said_travels_as_plain_values():
    assert written_from_dict(written_to_dict(WRITTEN), WRITTEN) == WRITTEN
    assert written_to_dict({}) == {}


def test_the_order_of_day_and_month_is_told_where_it_was_found():
    assert read_dates(["2026-01-31", "1.2.2026"])[1] == ""
    assert read_dates(["05/05/2026"])[1] == ""
    assert read_dates(["31/01/2026", "03/04/2026"])[1] == DAY_FIRST
    assert read_dates(["03/04/2026"], "month/day/year")[0][0].month == 3
    assert read_dates(["31/01/2026 12:00:00.1970"], "%d/%m/%Y %H:%M:%S")[0][0].second == 0

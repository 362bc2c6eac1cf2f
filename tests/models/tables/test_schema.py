"""What sites tell of their columns, and the schema that comes of it."""

from dataclasses import replace

import numpy as np
import pytest
from nervenet.models.moments import IncompatibleSites
from nervenet.models.site_statistics import SiteStatistics
from nervenet.models.tables.cautions import cautions
from nervenet.models.tables.schema import Schema, agree_schema
from nervenet.models.tables.site_schema import MOST_CATEGORIES, SiteSchema
from nervenet.models.tables.table import DATES, GAP, Table


def column(cells):
    if any(isinstance(cell, str) for cell in cells):
        return "category", np.array(cells, object)
    if any(isinstance(cell, np.datetime64) for cell in cells):
        return "date", np.array(cells, DATES)
    return "number", np.array(cells, np.float64)


def table(**columns):
    kinds, arrays = zip(*map(column, columns.values()), strict=True)
    return Table(tuple(columns), kinds, arrays)


def site(*, y=("good", "poor"), **columns):
    rows = table(**columns)
    return SiteSchema.of(rows, np.resize(np.array(y), len(rows)), None)


def agree(**sites):
    """Agree over the wire: what a site tells is what another reads."""
    return agree_schema({name: SiteSchema.from_parts(told.header(), told.vector()) for name, told in sites.items()})


AGE, WARD = [50.0, GAP, 70.0, 65.0], ["north", "south", GAP, "north"]


def test_a_site_tells_kinds_gaps_and_categories():
    told = site(age=AGE, ward=WARD, day=[np.datetime64("2026-01-01"), np.datetime64("NaT", "s")] * 2)
    assert told.header() == {
        "columns": ["age", "ward", "day"],
        "kinds": ["number", "category", "date"],
        "rows": 4,
        "gaps": [1, 1, 2],
        "differ": [True, False, False],
        "categories": {"ward": ["north", "south"]},
        "classes": ["good", "poor"],
    }
    day = np.datetime64("2026-01-01", "s").astype(float)
    assert told.statistics.inputs.mean == pytest.approx([185 / 3, 0, day])
    assert len(told.vector()) == 1 + 2 * 3


def test_what_it_tells_does_not_depend_on_where_the_gaps_are_and_holds_no_gap_itself():
    one, other = site(a=[1.0, 2.0, GAP]), site(a=[GAP, 1.0, 2.0])
    assert np.array_equal(one.vector(), other.vector())
    assert np.isfinite(one.vector()).all()


def test_texts_and_ids_are_told_by_number():
    many = [f"{i % (MOST_CATEGORIES + 1)}" for i in range(2 * MOST_CATEGORIES)]
    ids, texts = [f"p{i}" for i in range(len(many))], ["a" * 201, "b"] * MOST_CATEGORIES
    told = site(many=many, ids=ids, texts=texts)
    assert dict(told.categories) == {"many": MOST_CATEGORIES + 1, "ids": len(ids), "texts": 2}


def test_a_few_rows_do_not_tell_names_either():
    assert dict(site(name=["Ada", GAP, "Bo", "Cy"], one=["Di", GAP, GAP, GAP]).categories) == {"name": 3, "one": 1}


def test_held_out_rows_count_for_kinds_and_categories_but_not_for_the_target():
    rows, more = table(ward=["a", "b", "a"], age=[1.0, 2.0, 3.0]), table(ward=["c"], age=[GAP])
    told = SiteSchema.of(rows, np.array([1.5, 2.5, 3.5]), "regression", (more, np.array([100.0])))
    assert told.categories["ward"] == ("a", "b", "c")
    assert (told.rows, told.gaps) == (4, (0, 1))
    assert told.statistics.target.mean == [2.5]


def test_infinity_is_refused_by_column():
    with pytest.raises(IncompatibleSites, match=r"column 'age': found an infinite number"):
        site(age=[1.0, np.inf])


def test_columns_are_matched_by_name():
    schema, told = agree(north=site(age=AGE, ward=WARD), south=site(ward=WARD[:2], age=AGE[2:]))
    assert schema.columns == ("age", "ward")
    assert schema.kinds == ("number", "category")
    assert schema.gaps == (True, True)
    assert told["south"].columns == schema.columns
    assert told["south"].statistics.inputs.mean == pytest.approx([67.5, 0])


def test_plain_numbers_at_one_site_go_with_gaps_at_another():
    plain = SiteStatistics.of(np.array([[1.0], [2.0]]), np.array(["a", "b"]), ["age"], None)
    schema, _ = agree(north=plain, south=site(age=AGE))
    assert schema == Schema(("age",), ("number",), (True,), {})


@pytest.mark.parametrize(
    ("south", "message"),
    [
        ({"age": AGE}, r"site south has 1 columns, the others have 2 \(age, ward\): it lacks ward"),
        (
            {"age": ["old", "young", "old"], "ward": ["a", "b", "a"]},
            r"""site south has text \('old', 'young'\) in column "age", site north has numbers: --categorical age""",
        ),
        (
            {"age": [1.0, 2.0], "ward": [0.0, 1.0]},
            r"""numbers in column "ward", site north has text \('north', 'south'\): --categorical ward""",
        ),
        (
            {"age": [np.datetime64("2026-01-01"), np.datetime64("2026-01-02")], "ward": ["a", "b"]},
            r"""site south has dates in column "age", site north has numbers: --date age""",
        ),
    ],
)
def test_what_does_not_fit_names_site_column_and_both_findings(south, message):
    usual = {"age": AGE, "ward": WARD}
    with pytest.raises(IncompatibleSites, match=message) as raised:
        agree(north=site(**usual), south=site(**south), west=site(**usual))
    assert raised.value.site == "south"


def test_a_column_of_gaps_is_of_any_kind():
    schema, _ = agree(north=site(age=AGE, ward=[GAP] * 4), south=site(age=AGE, ward=WARD))
    assert schema.kinds == ("number", "category")
    schema, _ = agree(north=site(age=AGE, ward=[GAP] * 4), south=site(age=AGE, ward=[GAP] * 4))
    assert dict(schema.left_out) == {"ward": "all its cells are empty"}


def test_ids_constants_and_texts_are_left_out_with_the_reason():
    def rows(first, unit):
        names = [f"p{i}" for i in range(first, first + 20)]
        numbers = {"visit_id": [float(i) for i in range(first, first + 20)], "unit": [unit] * 20, "one": [0.1] * 20}
        day = {"day": [np.datetime64("2026-01-01")] * 20}
        return site(patient=names, sex=["f", "m"] * 10, age=[50.0 + i % 7 for i in range(20)], **numbers, **day)

    schema, _ = agree(north=rows(0, "mg"), south=rows(20, "mg"))
    assert dict(schema.left_out) == {
        "patient": "each row has another text, as an id has",
        "visit_id": "each row has another number, and it is named as an id",
        "unit": "all rows have 'mg'",
        "one": "all rows have the same value",
        "day": "all rows have the same value",
    }
    assert schema.used.columns == ("sex", "age")
    assert "unit" not in agree(north=rows(0, "mg"), south=rows(20, "g"))[0].left_out


def test_a_column_that_is_constant_at_each_site_is_not_constant():
    schema, _ = agree(north=site(x=[1.0, 1.0]), south=site(x=[2.0, 2.0]))
    assert not schema.left_out


def test_few_rows_make_no_id():
    schema, _ = agree(north=site(ward=["a", "b"]), south=site(ward=["c", "d", "e"]))
    assert not schema.left_out


def test_too_many_categories_are_left_out_naming_the_site():
    many = [f"{i % 300}" for i in range(400)]
    schema, _ = agree(north=site(code=["1", "2"]), south=site(code=many))
    assert schema.left_out["code"] == "site south has 300 categories, and a column is taken with 256 at most"


def warned(**sites):
    schema, told = agree(**sites)
    return cautions(schema, told, ())


def test_another_unit_is_a_caution():
    grams = [50.0 + i % 7 for i in range(20)]
    found = warned(north=site(w=grams), south=site(w=[value * 1000 for value in grams]), west=site(w=grams))
    [one] = found
    assert one.startswith('column "w": values and spread at site south are about 1,000 times those at site north')
    assert warned(north=site(w=grams), south=site(w=[value * 5 for value in grams])) == ()
    assert warned(north=site(w=grams[:5]), south=site(w=[value * 1000 for value in grams])) == ()


def test_spellings_are_cautions():
    found = warned(
        north=site(ward=["Ear", "eye", "eye"], y=("good", "poor")),
        south=site(ward=["ear ", "eye", "eye"], y=("good", "Poor")),
    )
    ward, target = (line.partition(" differ in case or blanks only")[0] for line in found)
    assert ward == "column \"ward\": 'Ear' (site north), 'ear ' (site south)"
    assert target == "the target: 'Poor' (site south), 'poor' (site north)"


def test_running_numbers_without_the_name_of_an_id_are_a_caution():
    numbers = [float(i) for i in range(20)]
    assert "say --id seat" in warned(north=site(seat=numbers), south=site(seat=numbers))[0]


def plain(*, y=("good", "poor"), **columns):
    """A site of plain numbers, which does not tell whether they differ."""
    rows = np.column_stack(list(columns.values()))
    return SiteStatistics.of(rows, np.resize(np.array(y), len(rows)), tuple(columns), None)


NUMBERS = [float(i) for i in range(20)]


def test_a_site_of_plain_numbers_does_not_keep_an_id_in():
    sites = {
        "north": plain(patient_id=NUMBERS, age=NUMBERS),
        "south": site(patient_id=NUMBERS, age=[*NUMBERS[1:], GAP]),
    }
    schema, _ = agree(**sites)
    assert list(schema.left_out) == ["patient_id"]


def test_it_would_if_it_counted_as_one_whose_rows_are_alike(monkeypatch):
    numbers = SiteSchema.of_numbers
    alike = staticmethod(lambda told: replace(numbers(told), differ=(False,) * len(told.columns)))
    monkeypatch.setattr(SiteSchema, "of_numbers", alike)
    with pytest.raises(AssertionError):
        test_a_site_of_plain_numbers_does_not_keep_an_id_in()


def test_a_few_rows_do_not_make_an_id_for_sites_that_do_not_tell():
    sites = {"north": plain(ward_id=NUMBERS, age=NUMBERS), "south": site(ward_id=[1.0, 2.0, 3.0], age=[1.0, 2.0, GAP])}
    assert not agree(**sites)[0].left_out


def test_categories_that_are_one_number_are_a_caution():
    [found] = warned(north=site(code=["1", "2", "2"]), south=site(code=["1.0", "2.0", "2.0"]))
    assert found == (
        "column \"code\": '1' (site north), '1.0' (site south) are one number, and are taken for different categories: "
        "write them alike"
    )
    assert warned(north=site(code=["1", "2", "2"]), south=site(code=["3.5", "x", "x"])) == ()


def test_a_schema_survives_json():
    schema, _ = agree(north=site(age=AGE, ward=WARD))
    assert Schema.from_dict(schema.to_dict()) == schema


HEADER = site(age=AGE, ward=WARD).header()


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": ["number", "word"]},
        {"kinds": ["number"]},
        {"gaps": [1, 5]},
        {"gaps": [1, True]},
        {"rows": "4"},
        {"categories": {}},
        {"categories": {"ward": ["b", "a"]}},
        {"categories": {"ward": -1}},
        {"categories": {"ward": ["a"], "age": ["b"]}},
        {"differ": [0, 1]},
        {"more": 1},
        {"columns": ["age"]},
    ],
)
def test_what_no_honest_site_sends_is_refused(changed):
    with pytest.raises(IncompatibleSites):
        SiteSchema.from_parts(HEADER | changed, site(age=AGE, ward=WARD).vector())

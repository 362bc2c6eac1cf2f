"""Which column is the target, the id, the weight; and rows without a target."""

import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.read import ReadOptions, read_table

TEXT = "patient,age,ward,w,outcome\np1,50,a,1,good\np2,60,b,0.5,\np3,,a,2,poor\n"


def test_roles_are_no_inputs(written):
    options = ReadOptions(id="patient", weight="w", sites="ward", missing_target="drop")
    found = read_table(written(TEXT), options)
    assert found.table.columns == ("age",)
    assert found.target_name == "outcome"
    assert found.target.tolist() == ["good", "poor"]
    assert found.ids.tolist() == ["p1", "p3"]
    assert found.weight.tolist() == [1, 2]
    assert found.sites.tolist() == ["a", "a"]
    assert found.notes == ("site.csv: 1 row without a target (outcome) left out",)


def test_columns_are_dropped(written):
    found = read_table(written(TEXT), ReadOptions(drop=("w", "outcome"), target="ward"))
    assert found.table.columns == ("patient", "age")


def test_rows_without_a_target_are_refused_and_counted_unless_they_are_to_be_left_out(written):
    message = 'line 3, column "outcome": found an empty cell, expected a value; data.missing_target = "drop"'
    with pytest.raises(DataError, match=message):
        read_table(written(TEXT))
    rows = "".join(f"{row},{'NA' if row % 2 else 1}\n" for row in range(10))
    with pytest.raises(DataError, match=r"line 3, .*found NA, expected a value \(also line 5, line 7, 2 more\)"):
        read_table(written(f"x,y\n{rows}"))
    with pytest.raises(DataError, match='column "y" is the target, and empty in all rows'):
        read_table(written("x,y\n1,\n2,\n"), ReadOptions(missing_target="drop"))


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        (["1", "2.0"], {}, [1, 2]),
        (["0.5", "2"], {}, [0.5, 2.0]),
        (["0,5", "2"], {}, [0.5, 2.0]),
        (["no", "3"], {"task": "classification"}, ["no", "3"]),
        (["1", "2"], {"categorical": ("y",)}, ["1", "2"]),
        (["true", "false"], {}, ["true", "false"]),
        ([str(2**53 + 1), "1"], {}, [2**53 + 1, 1]),
    ],
)
def test_targets(written, cells, options, expected):
    path = written("x,y\n" + "".join(f'1,"{cell}"\n' for cell in cells))
    found = read_table(path, ReadOptions(**options)).target.tolist()
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_names_that_are_no_columns_are_refused(written):
    path = written(TEXT)
    for options in ({"target": "outcom"}, {"drop": ("outcom",)}, {"categorical": ("outcom",)}, {"id": "outcom"}):
        with pytest.raises(DataError, match=r"no column 'outcom' .did you mean outcome..; it has: patient, age"):
            read_table(path, ReadOptions(**options))
    with pytest.raises(DataError, match="column 'a' cannot be both the target and the id"):
        ReadOptions(target="a", id="a")
    with pytest.raises(DataError, match="column 'a' is the weight, and is to be dropped"):
        ReadOptions(weight="a", drop=("a",))


def test_weights_are_numbers_of_at_least_zero(written):
    for cell, found in (("-1", "-1"), ("", "an empty cell")):
        with pytest.raises(DataError, match=f'line 3, column "w": found {found}, expected a weight of at least 0'):
            read_table(written(f"x,w,y\n1,1,0\n1,{cell},1\n"), ReadOptions(weight="w"))

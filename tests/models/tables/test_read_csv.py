"""CSV files as sites have them: separators, decimal commas, encodings, gzip, and what is wrong with a file."""

import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables import arrow_csv, csv_file
from nervenet.models.tables.columns import read_columns
from nervenet.models.tables.read import ColumnOptions, ReadOptions, read_table

ROWS = [("age", "ward", "y"), ("1.5", "Köln", "0"), ("2.5", "NA", "1")]


def rows_of(path, **options):
    """What a table holds, gaps as None."""
    found = read_table(path, ReadOptions(**options))
    columns = [
        [None if value != value else value for value in found.table[name].tolist()] for name in found.table.columns
    ]
    return found.table.kinds, columns, found.target.tolist()


PLAIN = (("number", "category"), [[1.5, 2.5], ["Köln", None]], [0, 1])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_separator_and_encoding_are_recognized(written, separator, encoding):
    path = written("\n".join(separator.join(row) for row in ROWS), encoding=encoding)
    assert rows_of(path) == PLAIN
    notes = read_table(path).notes
    assert len(notes) == (separator != "," or not encoding.startswith("utf-8"))
    assert all(note.startswith("site.csv: ") for note in notes)


def test_a_packed_file_is_read_as_it_is(written):
    assert rows_of(written("\r\n".join(",".join(row) for row in ROWS), "site.csv.gz")) == PLAIN
    broken = written("a,b\n", "site.csv.gz")
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"site\.csv\.gz: not a readable \.csv\.gz file"):
        read_table(broken)


def test_what_is_unusual_is_said_in_one_line(written):
    path = written("a;b;y\n1,5;2;0\n2;1.000,25;1\n", encoding="cp1252")
    found = read_table(path)
    assert found.table["a"].tolist() == [1.5, 2]
    assert found.table["b"].tolist() == [2, 1000.25]
    assert found.notes == ("site.csv: cells separated by semicolons, decimal commas in a, b",)


def test_commas_between_thousands_are_never_taken_for_decimal_commas(written):
    path = written('a,y\n"1,500",0\n12,1\n')
    with pytest.raises(DataError, match=r'column "a": "1,500" has a decimal comma or a comma between thousands: say'):
        read_table(path)
    for form, expected in (("1,5", 1.5), ("1,500", 1500.0)):
        found = read_table(path, ReadOptions(columns={"a": ColumnOptions(format=form)}))
        assert found.table["a"].tolist() == [expected, 12]


def test_a_quoted_cell_may_hold_separators_and_line_ends(written):
    _, columns, _ = rows_of(written('name,y\n"a, b\nc",0\n"say ""x""",1\n'))
    assert columns == [["a, b\nc", 'say "x"']]
    with pytest.raises(DataError, match='line 4, column "n": found text "x"'):
        read_table(written('n,y\n1,"two\nlines"\nx,one\n'))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1 is empty"),
        ("a,y\n", "no rows below the header"),
        ("1,2\n3,4\n", "line 1 holds numbers only"),
        ("a,a,y\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("a,,y\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,y\n1,2\n\n1,2,3\n", "line 4 has 3 cells, the header names 2 columns"),
        ("a y\np q\n", "line 1: only one column .'a y'.; cells are separated by commas, semicolons, tabs or bars"),
        ('a,y\n1,"2\n', "not a readable .csv file .line"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(written, text, reason):
    with pytest.raises(DataError, match=rf"site\.csv: {reason}"):
        read_table(written(text))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "site.docx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cannot read \.docx; allowed: .*.csv"):
        read_table(tmp_path / "site.docx")
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_table(tmp_path / "none.csv")


ROW_NAMES = ["", "1", "2"]  # as R and pandas write them, or names in their place


@pytest.mark.parametrize("names", [ROW_NAMES, ["", "Fiat", "Opel"]])
def test_a_first_column_without_a_name_is_set_aside_with_a_word(written, names):
    path = written("".join(f"{name},{rest}\n" for name, rest in zip(names, ["dose,y", "2,0", "4,1"], strict=True)))
    found = read_table(path)
    assert found.table.columns == ("dose",)
    assert found.notes == ("site.csv: the first column has no name and is left out, as the names of rows",)


def test_without_setting_it_aside_such_a_file_is_refused(written, monkeypatch):
    def as_before(path, cells):
        csv_file.check_header(path, cells)
        return cells, {}

    monkeypatch.setattr(csv_file, "header", as_before)
    with pytest.raises(DataError, match="line 1: column 1 has no name"):
        read_table(written(",dose,y\n1,2,0\n2,4,1\n"))


def test_of_thousands_of_columns_a_few_are_named(written):
    path = written(",".join(f"x{k}" for k in range(2000)) + "\n" + ",".join("1" * 2000) + "\n")
    with pytest.raises(DataError, match=r"no column 'z'; it has: x0, .*, … 1992 more$"):
        read_table(path, ReadOptions(target="z"))


SINGLE = [
    "'name','n','y'\n'it, is','1.5','p'\n'','2','q'\n",  # around every cell
    "name,n,y\n'it, is',1.5,p\n,2,q\n",  # around those that hold a comma
    "name,n,y\n'it, is',1.5,'p'\n'',2,'q'\n",  # around text
    "name|n|y\r\n'it, is'|1.5|p\r\n|2|q\r\n",
]


@pytest.mark.parametrize("text", SINGLE)
def test_single_quotes_are_recognized(written, text):
    path = written(text)
    assert rows_of(path) == (("category", "number"), [["it, is", None], [1.5, 2]], ["p", "q"])
    [note] = read_table(path).notes
    assert note.endswith("single quotes")


@pytest.mark.parametrize(
    "text",
    ["name,y\n'tis,0\nO'Hara,1\n", 'name,y\n"it\'s, well",0\n"x",1\n', "name,y\nrock 'n' roll,0\nthe '90s,1\n"],
)
def test_apostrophes_are_no_quotes(written, text):
    assert read_table(written(text)).notes == ()


def test_by_double_quotes_alone_such_files_are_misread(written, monkeypatch):
    monkeypatch.setattr("nervenet.models.tables.text_file.QUOTES", ('"',))
    for text in SINGLE[:2]:
        with pytest.raises(DataError, match="cells, the header names 3 columns"):
            read_table(written(text))
    assert rows_of(written(SINGLE[3]))[1][0] == ["'it, is'", None]


@pytest.mark.parametrize("least", [0, 2**30], ids=["pyarrow", "standard library"])
def test_a_second_header_among_texts_is_refused(written, least):
    path = written("name,ward,y\nname, ward,y\n" + "x,u,p\nz,v,q\n" * 5)
    with pytest.raises(DataError, match=r"site\.csv: line 2 is the header once more: delete it"):
        arrow_csv.read_large_csv(path, (), least)


def test_decimal_commas_of_the_target_and_the_weight_are_said_too(written):
    path = written("x;w;y\n1;0,5;1,25\n2;1;2,5\n3;1;3\n")
    found = read_table(path, ReadOptions(weight="w"))
    assert found.target.tolist() == [1.25, 2.5, 3]
    assert found.notes == ("site.csv: cells separated by semicolons, decimal commas in w, y",)


@pytest.mark.parametrize(
    "text",
    [
        '"n","w","y"\n"a",1.5,"u","p"\n"b",2,"v","q"\n',
        "n w y\na 1.5 u p\nb 2 v q\n",
        "'n'\t'w'\t'y'\n'a'\t1.5\t'u'\t'p'\n'b'\t2\t'v'\t'q'\n",
        "n,w,y\na,1.5,u,p\nb,2,v,q\n",
    ],
)
def test_names_of_rows_that_the_header_does_not_name_are_left_out(written, text):
    """As R's write.table has them, whose cells are separated by blanks unless something else is said."""
    path = written(text)
    assert rows_of(path) == (("number", "category"), [[1.5, 2], ["u", "v"]], ["p", "q"])
    assert read_table(path).notes[-1].endswith("the first column has no name and is left out, as the names of rows")


@pytest.mark.parametrize("text", ["n,y\n1,p,\n2,q,\n", "n,y\n1,p,q\n2,q\n", "n,y\na,1,p\na,2,q\n"])
def test_other_lines_with_a_cell_too_many_are_refused(written, text):
    with pytest.raises(DataError, match="line 2 has 3 cells, the header names 2 columns"):
        read_table(written(text))


def test_blanks_divide_numbers_alone(written):
    assert rows_of(written("n y\n1.5 0\n2 1\n")) == (("number",), [[1.5, 2]], [0, 1])
    assert read_columns(written("full name\nAnn Smith\nBob Jones\n"))[0].columns == ("full name",)


def test_a_file_whose_row_names_were_kept_twice_is_read(written):
    path = written(",Unnamed: 0,n,y\n0,0,1.5,p\n1,1,2,q\n")
    assert read_table(path).table.columns == ("Unnamed: 0", "n")


def test_an_infinity_says_how_it_becomes_a_gap(written):
    path = written("n,y\n1.5,p\nInf,q\n")
    with pytest.raises(DataError, match=r"""found Inf, .*; --set 'data\.columns\.n\.gaps=\["Inf"\]' takes it for"""):
        read_table(path)
    assert rows_of(path, columns={"n": ColumnOptions(gaps=("Inf",))})[1] == [[1.5, None]]

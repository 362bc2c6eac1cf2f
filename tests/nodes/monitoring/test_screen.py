"""What keys do to what a terminal shows."""

import pytest
from nervenet.nodes.monitoring.node_row import NodeRow
from nervenet.nodes.monitoring.screen import LONGEST_FILTER, SORTS, Screen, natural


def peers(count: int) -> dict[str, NodeRow]:
    return {f"peer-{i}": NodeRow(role="peer", state="training", round=i, loss=float(i)) for i in range(count)}


def press(screen: Screen, *keys: str) -> list[str]:
    return [asked for key in keys if (asked := screen.key(key)) is not None]


def names(screen: Screen, rows: dict[str, NodeRow], room: int = 5) -> list[str]:
    return [name for name, _ in screen.rows(rows, room)]


def test_rows_beyond_the_room_are_scrolled_to_with_the_chosen_one() -> None:
    screen, rows = Screen(), peers(40)
    assert names(screen, rows) == [f"peer-{i}" for i in range(5)]
    assert screen.extent() == "1 to 5 of 40 nodes"
    press(screen, "down", "j")
    assert names(screen, rows) == [f"peer-{i}" for i in range(5)]
    assert screen.chosen == "peer-2"
    press(screen, "pagedown")
    assert names(screen, rows) == [f"peer-{i}" for i in range(3, 8)]
    press(screen, "end")
    assert names(screen, rows)[-1] == screen.chosen == "peer-39"
    press(screen, "down", "pagedown")
    assert names(screen, rows)[-1] == screen.chosen == "peer-39"
    press(screen, "up")
    assert screen.chosen == "peer-38"
    press(screen, "home")
    assert names(screen, rows)[0] == screen.chosen == "peer-0"


def test_the_chosen_one_stays_chosen_wherever_the_order_takes_it() -> None:
    screen, rows = Screen(), peers(40)
    names(screen, rows)
    press(screen, "down")
    names(screen, rows)
    press(screen, "s", "s", "r")  # by round, the highest first
    assert screen.sort == "round"
    assert names(screen, rows)[-1] == screen.chosen == "peer-1"
    del rows["peer-1"]
    assert screen.chosen != "peer-1" or names(screen, rows)
    assert screen.chosen in rows


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_column_orders_all_rows(sort: str, *, reverse: bool) -> None:
    screen, rows = Screen(), peers(3)
    rows["peer-1"] = NodeRow(role="peer", state="lost")
    rows["coordinator"] = NodeRow(role="coordinator", state="ready", score=0.5, sent=7, received=9, seen=3.0)
    while screen.sort != sort:
        press(screen, "s")
    if reverse:
        press(screen, "r")
    found = names(screen, rows)
    assert sorted(found) == sorted(rows)
    if sort == "state":
        assert found[-1 if reverse else 0] == "peer-1", "what is in trouble comes first"
    if sort == "train loss":
        assert set(found[2:]) == {"peer-1", "coordinator"}, "what is not known is last"


def test_sorting_goes_round_both_ways() -> None:
    screen = Screen()
    press(screen, "S")
    assert screen.sort == "last seen"
    press(screen, *"s" * len(SORTS))
    assert screen.sort == "last seen"


def test_a_filter_is_typed_kept_and_taken_back() -> None:
    screen, rows = Screen(), peers(12)
    rows["peer-3"].state = "lost"
    assert press(screen, "/", *"qPEER-1") == [], "while it is typed no key is a command"
    press(screen, "backspace", "backspace", "backspace")
    assert screen.filter == "qPEE"
    press(screen, *["backspace"] * 9, *"PEER-1", "up", "enter")
    assert not screen.typing
    assert names(screen, rows) == ["peer-1", "peer-10", "peer-11"]
    press(screen, "/", *"xyz", "esc")
    assert screen.filter == "PEER-1"
    press(screen, "esc")
    assert len(names(screen, rows, 99)) == 12
    press(screen, "/", *"lost", "enter")
    assert names(screen, rows) == ["peer-3"]
    press(screen, "/", *"x" * 500, "enter")
    assert len(screen.filter) == LONGEST_FILTER
    assert names(screen, rows) == []
    assert screen.chosen == ""
    press(screen, "enter", "down")
    assert screen.page == "nodes", "there is none to show"


def test_pages() -> None:
    screen = Screen()
    names(screen, peers(3))
    for key, page in (("enter", "node"), ("esc", "nodes"), ("f", "feed"), ("l", "log"), ("l", "nodes"), ("?", "help")):
        press(screen, key)
        assert screen.page == page


def test_what_is_asked_of_the_shell() -> None:
    screen = Screen()
    assert press(screen, "p", " ", "+", "-", ".", "q") == ["pause", "resume", "faster", "slower", "next round", "quit"]
    assert press(screen, "x", "left", "esc", "é") == []


def test_lines_follow_the_end_until_they_are_scrolled_back() -> None:
    screen = Screen()
    press(screen, "f")
    lines = [str(i) for i in range(10)]
    assert screen.lines(lines, 3) == ["7", "8", "9"]
    press(screen, "up", "up")
    assert screen.lines(lines, 3) == ["5", "6", "7"]
    assert screen.lines([*lines, "10"], 3) == ["5", "6", "7"], "what comes does not move them"
    assert screen.lines([*lines[4:], "10"], 3, dropped=4) == ["5", "6", "7"]
    assert screen.lines([*lines[8:], "10", "11"], 3, dropped=8) == ["8", "9", "10"], "they are no longer there"
    press(screen, "home")
    assert screen.lines(lines, 3) == ["0", "1", "2"]
    press(screen, "end")
    assert screen.lines(lines, 3) == ["7", "8", "9"]
    assert screen.lines([], 3) == []


def test_names_with_numbers_are_ordered_by_them() -> None:
    odd = ["peer-10", "peer-9", "site", "peer-²", f"peer-{'9' * 5000}"]
    assert sorted(odd[:2], key=natural) == ["peer-9", "peer-10"]
    assert len(sorted(odd, key=natural)) == len(odd)

"""Where keys stand: compared with layouts whose lines are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.toml_lines import Place, find_places
from disinto_tui.core.toml_read import loads, read_toml

LAYOUT = '''\
# a comment = 1
name = "x" # [not.a.table]
a.b . "c d" = """
[neither]
is = "this"
""""
'single' = 'y'
list = [
  "one", # ]
  { k = 1, l.m = [1, 2] },
  """two
lines""", "three",
]

[ci]
  number = 3
[agents."we ird"]
when = 1979-05-27 07:32:32
"k\\u0065y" = true
[[x]]
y = 1
[[x]]
y = 2
[x.z]
w = 1
'''


def test_every_key_of_a_difficult_layout() -> None:
    loads(LAYOUT)
    places = find_places(LAYOUT).keys
    expected = {
        ("name",): (2, 1),
        ("a", "b", "c d"): (3, 7),
        ("single",): (7, 1),
        ("list", 0): (9, 3),
        ("list", 1, "l", "m"): (10, 14),
        ("list", 2): (11, 3),
        ("list", 3): (12, 11),
        ("ci",): (15, 2),
        ("ci", "number"): (16, 3),
        ("agents", "we ird"): (17, 9),
        ("agents", "we ird", "when"): (18, 1),
        ("agents", "we ird", "key"): (19, 1),
        ("x", 0, "y"): (21, 1),
        ("x", 1, "y"): (23, 1),
        ("x", 1, "z", "w"): (25, 1),
    }
    assert {path: places[path] for path in expected} == expected
    assert ("neither",) not in places


def test_a_missing_key_stands_where_its_table_does() -> None:
    places = find_places(LAYOUT)
    assert places.of(("ci", "absent")) == Place(15, 2)
    assert places.of(("absent",)) == Place(1, 1)


def test_windows_line_ends_do_not_shift_lines() -> None:
    assert find_places("a = 1\r\n\r\n[b]\r\nc = 2\r\n").keys["b", "c"] == Place(4, 1)


def test_broken_texts_end_the_scan_and_raise_nothing() -> None:
    for text in ("[", "a", "a =", 'a = "', "a = [", "a = {b", '"', "a = '''x", "[[a]", "=", "a = [1 2]"):
        find_places(text)


VALUES = st.sampled_from(
    [
        "1",
        "'#]['",
        '"\\" = x"',
        '"""\n[x]\na = 1\n"""',
        "'''\n# y\n'''",
        "[\n1, # ]\n2 ]",
        "{ a = '}' }",
        "true",
    ]
)
LINES = st.lists(
    st.one_of(st.tuples(st.just("pair"), VALUES), st.tuples(st.sampled_from(["", "# c", "table"]), st.none()))
)


@given(LINES)
def test_any_mix_of_values_tables_and_comments(parts: list[tuple[str, str | None]]) -> None:
    text, table, expected = "", (), {}
    for number, (kind, value) in enumerate(parts):
        line = text.count("\n") + 1
        if kind == "table":
            table = (f"t{number}",)
            expected[table] = line
            text += f"[t{number}]\n"
        elif value is not None:
            expected[(*table, f"k{number}")] = line
            text += f"k{number} = {value} # = [z]\n"
        else:
            text += f"{kind}\n"
    loads(text)
    places = find_places(text).keys
    assert {path: places[path].line for path in expected} == expected


@given(st.text(alphabet="ab=[]{}\"'.#\n\\, 1", max_size=60))
def test_any_text_whatever(text: str) -> None:
    find_places(text)
    reading = read_toml(text)
    assert (reading.data is None) <= bool(reading.faults)


def test_faults_of_several_lines_are_told_together() -> None:
    reading = read_toml("name = app\nrepo = acme/app\n\nok = 1\nyes = True\nempty =\n")
    assert [(fault.line, fault.hint) for fault in reading.faults] == [
        (1, 'put text in quotes: "…"'),
        (2, 'put text in quotes: "…"'),
        (5, "write true or false, in small letters"),
        (6, "a value is missing after ="),
    ]
    assert reading.data == {"ok": 1}


def test_a_list_left_open_is_one_fault_and_nothing_is_claimed_about_the_rest() -> None:
    reading = read_toml('name = "a"\nl = ["x",\n"y"\n[ci]\nz = 1\n')
    assert len(reading.faults) == 1
    assert reading.data is None


def test_bytes_that_are_not_utf8_have_a_line() -> None:
    fault = read_toml('name = "a"\nmodel = "ä'.encode() + b'\xe4"\n').faults[0]
    assert (fault.line, fault.column, fault.message) == (2, 11, "byte 0xe4 is not UTF-8")


def test_a_byte_order_mark_is_refused_as_the_agents_do() -> None:
    assert "byte order mark" in read_toml(b'\xef\xbb\xbfname = "a"').faults[0].message

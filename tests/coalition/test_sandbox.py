"""A file from outside becomes rows of text, or a sentence; it never takes the server with it."""

import json
import os
import signal
import struct
import subprocess
import sys
import zipfile
from contextlib import suppress
from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalition.imports import sandbox
from coalition.imports.sandbox import Limits, Unreadable, parse


@pytest.fixture
def read(tmp_path):
    """Return a function that parses bytes, or text as UTF-8, and gives the ParsedFile."""

    def read(content: bytes | str, **options) -> sandbox.ParsedFile:
        path = tmp_path / "sent"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return parse(path, tmp_path / "rows.arrow", **options)

    return read


@pytest.fixture
def book(tmp_path):
    """Return a function that makes an .xlsx of sheets (name → rows) and gives its bytes."""

    def book(**sheets: list[list]) -> bytes:
        path = tmp_path / "book.xlsx"
        with xlsxwriter.Workbook(path) as made:
            day = made.add_format({"num_format": "yyyy-mm-dd"})
            clock = made.add_format({"num_format": "yyyy-mm-dd hh:mm"})
            span = made.add_format({"num_format": "[h]:mm"})
            for name, rows in sheets.items():
                sheet = made.add_worksheet(name)
                for r, row in enumerate(rows):
                    for c, value in enumerate(row):
                        match value:
                            case datetime():
                                sheet.write_datetime(r, c, value, clock)
                            case date():
                                sheet.write_datetime(r, c, value, day)
                            case timedelta():
                                sheet.write_datetime(r, c, value, span)
                            case "#N/A":
                                sheet.write_formula(r, c, "=NA()", None, "#N/A")
                            case str():
                                sheet.write_string(r, c, value)
                            case _:
                                sheet.write(r, c, value)
        return path.read_bytes()

    return book


def table_of(parsed: sandbox.ParsedFile) -> list[tuple]:
    return [(row.number, *row.cells.values()) for row in parsed.rows()]


def problems_of(parsed: sandbox.ParsedFile) -> dict[int, str]:
    return {row.number: row.problem for row in parsed.rows() if row.problem}


# --- Delimited text -----------------------------------------------------------------------


def test_cells_stay_text_as_the_file_has_them(read):
    parsed = read("id,note,when\n007,  =1+1 ,03/04/2025\n1e5,NaN,\n")
    assert table_of(parsed) == [(2, "007", "  =1+1 ", "03/04/2025"), (3, "1e5", "NaN", "")]
    assert (parsed.kind, parsed.header, parsed.row_count) == ("csv", ("id", "note", "when"), 2)
    assert parsed.sample[0] == ("2", "007", "  =1+1 ", "03/04/2025")


def test_rows_are_numbered_as_a_spreadsheet_shows_them(read):
    parsed = read('a,b\n1,"two\nlines"\n\n,\n5,6\n')
    assert [row.number for row in parsed.rows()] == [2, 5]


def test_a_row_of_the_wrong_width_is_named_and_the_rest_is_read(read):
    parsed = read('a,b\n1,2\n3\n4,5,6\n7,8\n9,10,,\n"x\ny"\n11,12\n')
    assert [row.number for row in parsed.rows()] == [2, 3, 4, 5, 6, 7, 8]
    assert problems_of(parsed) == {
        3: "The row has 1 cell, the header has 2.",
        4: "The row has 3 cells, the header has 2.",
        7: "The row has 1 cell, the header has 2.",
    }
    assert parsed.problem_count == 3
    assert table_of(parsed)[4] == (6, "9", "10")


def test_rows_keep_their_numbers_across_blocks(read):
    line = "x" * 900
    rows = [f"{n}" if n % 1000 == 0 else f"{n},{line}" for n in range(2, 5000)]
    parsed = read("a,b\n" + "\n".join(rows))
    assert all(row.cells["a"] == str(row.number) for row in parsed.rows())
    assert [row.number for row in parsed.rows()] == list(range(2, 5000))
    assert list(problems_of(parsed)) == [1000, 2000, 3000, 4000]


@pytest.mark.parametrize(
    ("encoding", "bom", "text", "found", "sure"),
    [
        ("utf-8", b"", "name;n\nКиїв, Łódź;1\n", "utf-8", "certain"),
        ("utf-8", b"\xef\xbb\xbf", "name;n\nКиїв;1\n", "utf-8", "stated"),
        ("utf-16-le", b"\xff\xfe", "name\tn\nКиїв\t1\n", "utf-16-le", "stated"),
        ("utf-16-be", b"", "name\tplace\nOne name\tin ASCII, then Київ\n", "utf-16-be", "guessed"),
        ("windows-1252", b"", "name,n\nChâtelet – Zoé,1\n", "windows-1252", "guessed"),
        ("windows-1251", b"", "name,n\nКиївська область,1\n", "windows-1251", "guessed"),
    ],
)
def test_usual_encodings_are_found(read, encoding, bom, text, found, sure):
    parsed = read(bom + text.encode(encoding))
    assert (parsed.encoding, parsed.encoding_sure) == (found, sure)
    assert parsed.header[0] == "name"
    [row] = parsed.rows()
    assert "".join(row.cells.values()) in text.replace(";", "").replace("\t", "").replace(",1", "1")
    assert any("guessed" in warning for warning in parsed.warnings) == (sure == "guessed")


def test_a_stated_encoding_goes_before_the_guess(read):
    parsed = read("name,n\nŁódź,1\n".encode("iso-8859-2"), encoding="iso-8859-2")
    assert table_of(parsed) == [(2, "Łódź", "1")]


def test_mixed_encodings_reject_the_rows_that_would_be_wrong(read):
    parsed = read("name,n\nКиїв,1\nЛьвів,2\n".encode() + "Zoé,3\n".encode("windows-1252") + b"Plain,4\n")
    assert problems_of(parsed) == {4: "name: is not UTF-8 like the rest."}
    assert [row.cells["name"] for row in parsed.rows()] == ["Київ", "Львів", "Zo\ufffd", "Plain"]


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), ("\t", ","), ("|", ".")])
def test_the_delimiter_is_found(read, delimiter, decimal):
    lines = [["place", "count", "share"], ["A", "1", f"0{decimal}5"], ["B", "2", f"0{decimal}7"]]
    parsed = read("\r\n".join(delimiter.join(line) for line in lines))
    assert parsed.delimiter == delimiter
    assert table_of(parsed) == [(2, *lines[1]), (3, *lines[2])]


def test_a_wrong_delimiter_is_noticed(read):
    parsed = read("a^b\n1^2\n")
    assert "Only one column was found" in parsed.warnings[0]


def test_excels_own_separator_line_is_obeyed(read):
    parsed = read("sep=;\r\na;b\r\n1;2\r\n")
    assert (parsed.header, table_of(parsed)) == (("a", "b"), [(3, "1", "2")])


def test_old_macintosh_line_ends_are_understood(read):
    assert table_of(read("a,b\r1,2\r3,4\r")) == [(2, "1", "2"), (3, "3", "4")]


def test_a_title_above_the_header_is_left_out_and_said(read):
    parsed = read("Table 1: violations,,\n,,\nplace,count,day\nA,1,2025-04-30\n")
    assert (parsed.header, parsed.header_row) == (("place", "count", "day"), 3)
    assert table_of(parsed) == [(4, "A", "1", "2025-04-30")]
    assert "row 3" in parsed.warnings[0]


def test_a_missing_header_is_noticed_and_can_be_stated(read):
    assert any("looks like data" in warning for warning in read("1,2014-01-27\n2,2014-01-28\n").warnings)
    parsed = read("1,2014-01-27\n2,2014-01-28\n", header_row=0)
    assert parsed.header == ("Column A", "Column B")
    assert [row.number for row in parsed.rows()] == [1, 2]


def test_double_and_empty_column_names_are_made_distinct(read):
    parsed = read("date,,date,source row\n1,2,3,4\n")
    assert parsed.header == ("date", "Column B", "date (2)", "source row (2)")
    assert any("called 'date'" in warning for warning in parsed.warnings)
    assert table_of(parsed) == [(2, "1", "2", "3", "4")]


def test_the_tag_row_of_hxl_is_no_data(read):
    parsed = read("Country,From\n#country+code,#date+start\nEE,2025-04-30\n")
    assert parsed.hxl == ("#country+code", "#date+start")
    assert table_of(parsed) == [(3, "EE", "2025-04-30")]


def test_control_characters_and_enormous_cells_reject_their_row_by_name(read):
    parsed = read(b"a,b\n1,x\x00y\n2,\xc2\x85\n3," + b"z" * 70_000 + b"\n4,ok\ttab\n")
    assert problems_of(parsed) == {
        2: "b: has a control character.",
        3: "b: has a control character.",
        4: "b: is longer than 64 kB.",
    }


def test_a_quotation_mark_never_closed_rejects_the_row(read):
    parsed = read('a,b\n1,2\n3,"x\n4,5\n6,7')
    assert "never closed" in problems_of(parsed)[3]


def test_an_endless_line_is_refused_with_the_row_before_it(read):
    with pytest.raises(Unreadable, match="After row 2 comes a line of more than 1 MB"):
        read(b"a,b\n1,2\n3," + b"x" * 3_000_000 + b"\n5,6\n")


REFUSED = [
    (b"", "is empty"),
    (b"a,b,c\n", "no rows"),
    (b"\n\n\n", "no header"),
    (b"x" * 400_000, "first line is longer"),
    (b",".join(b"c%d" % n for n in range(400)) + b"\n1\n", "400 columns"),
    (b"a,b\n" + b"1\n" * 110_000, "do not have the header's 2 cells"),
    (b"%PDF-1.7 ...", "PDF"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Office file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"),
    (b"\x1f\x8b\x08\0\0", "gzip"),
    (b"\x89PNG\r\n", "picture"),
    (b"<!DOCTYPE html><html><table></table>", "web page"),
    (bytes(range(256)) * 20 + b"\0" * 4000, "not a text file"),
    (b'{"type": "Topology"}', "TopoJSON"),
    (b'{"a": 1}', "not a GeoJSON"),
    (b'{"type": "FeatureCollection", "features": [}', "not valid JSON"),
    (b'{"type": "FeatureCollection", "features": []}', "no features"),
    (b'{"type": "FeatureCollection", "features": [3]}', "Feature 1 is not"),
    (b'{"type":"FeatureCollection","features":' + b"[" * 200_000, "nested more than 64"),
    (b"PK\x03\x04 and then nothing", "damaged"),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_what_is_no_table_gets_a_sentence(read, tmp_path, content, sentence):
    with pytest.raises(Unreadable, match=sentence):
        read(content)
    assert not (tmp_path / "rows.arrow").exists()


def test_wrong_options_get_a_sentence(read):
    for options in ({"encoding": "klingon"}, {"encoding": "zlib"}, {"delimiter": "ab"}, {"header_row": 40}):
        with pytest.raises(Unreadable, match=r"\.$"):
            read("a,b\n1,2\n", **options)
    with pytest.raises(Unreadable, match="not utf-16"):
        read("a,b\n1,2\n3", encoding="utf-16-le")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_it(read, content):
    with suppress(Unreadable):
        parsed = read(content)
        assert len(list(parsed.rows())) == parsed.row_count > 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_as_csv_is_read_back(read, rows):
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [["a", "b", "c"], *rows]]
    expected = [(number, *row) for number, row in enumerate(rows, 2) if any(row)]
    if expected and not all(cell == "" or cell.startswith("#") for cell in rows[0]):
        assert table_of(read("\n".join(quoted), header_row=1, delimiter=",")) == expected


# --- Workbooks ----------------------------------------------------------------------------


def test_a_workbook_gives_text_numbers_and_iso_dates(read, book):
    parsed = read(
        book(
            Pledges=[
                ["code", "n", "day", "at", "span", "yes", "small"],
                [
                    "007",
                    7,
                    date(2025, 4, 30),
                    datetime.fromisoformat("2025-04-30 11:45"),
                    timedelta(hours=36),
                    True,
                    0.1,
                ],
            ]
        )
    )
    assert parsed.kind == "xlsx"
    assert table_of(parsed) == [(2, "007", "7", "2025-04-30", "2025-04-30T11:45:00", "36:00:00", "TRUE", "0.1")]


def test_one_sheet_is_read_and_the_others_are_named(read, book):
    both = book(One=[["a", "b"], ["1", "2"]], Two=[["c", "d"], [], ["3", "4"]])
    first = read(both)
    assert (first.sheets, first.sheet) == (("One", "Two"), "One")
    assert "only 'One' is read" in first.warnings[0]
    assert table_of(read(both, sheet="Two")) == [(3, "3", "4")]
    with pytest.raises(Unreadable, match="no sheet called 'Three'"):
        read(both, sheet="Three")


def test_rows_of_a_sheet_keep_their_numbers_below_a_title(read, book):
    parsed = read(book(A=[["A title"], [], ["", "a", "b"], ["", "1", "2"], [], ["", "3", "4", "beyond"]]))
    assert [row.number for row in parsed.rows()] == [4, 6]


def test_a_spreadsheet_error_rejects_its_row(read, book):
    parsed = read(book(A=[["a", "b"], ["1", "#N/A"], ["2", "x"]]))
    assert problems_of(parsed) == {2: "A cell holds a spreadsheet error such as #N/A."}


def test_cells_far_apart_are_refused_before_a_parser_sees_them(read, tmp_path):
    path = tmp_path / "far.xlsx"
    with xlsxwriter.Workbook(path) as made:
        sheet = made.add_worksheet()
        sheet.write("A1", "a")
        sheet.write("XFD1048576", "z")
    assert path.stat().st_size < 6_000
    with pytest.raises(Unreadable, match="spans 1,048,576 rows and 16,384 columns"):
        read(path.read_bytes())


def rewritten(content: bytes, tmp_path, part: str, change) -> bytes:
    """Return the workbook with one of its parts changed."""
    (tmp_path / "before.xlsx").write_bytes(content)
    before = zipfile.ZipFile(tmp_path / "before.xlsx")
    with before, zipfile.ZipFile(tmp_path / "after.xlsx", "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, change(before.read(name)) if name == part else before.read(name))
    return (tmp_path / "after.xlsx").read_bytes()


def test_a_parser_that_is_killed_leaves_a_sentence(read, book, tmp_path):
    """The same bomb in a spelling that our own look does not see: calamine asks for 500 GB and aborts."""
    far = book(A=[["a", "b"], ["1", "2"]])
    hidden = rewritten(
        far, tmp_path, "xl/worksheets/sheet1.xml", lambda data: data.replace(b'r="B2"', b"r='XFD1048576'")
    )
    with pytest.raises(Unreadable, match="broke the program that reads it"):
        read(hidden)


def test_a_workbook_that_unpacks_too_large_is_refused_whatever_it_declares(read, book, tmp_path):
    limits = Limits(unpacked_mb=2)
    bomb = rewritten(book(A=[["a"], ["1"]]), tmp_path, "xl/sharedStrings.xml", lambda _: b" " * 3_000_000)
    with pytest.raises(Unreadable, match="unpacks to more than 2 MB"):
        read(bomb, limits=limits)
    lying = bytearray(bomb)
    with zipfile.ZipFile(tmp_path / "after.xlsx") as archive:
        member = archive.getinfo("xl/sharedStrings.xml")
    entry = lying.rfind(b"xl/sharedStrings.xml") - 46
    for place in (member.header_offset + 22, entry + 24):
        lying[place : place + 4] = struct.pack("<I", 100)
    with pytest.raises(Unreadable, match="unpacks to more than 2 MB"):
        read(bytes(lying), limits=limits)
    with pytest.raises(Unreadable, match="not as large as it says"):
        read(bytes(lying))


def test_zips_that_are_no_workbook_are_told_apart(read, tmp_path):
    for name, sentence in [("a.csv", "without a workbook"), ("word/document.xml", "not an .xlsx")]:
        with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
            archive.writestr(name, "x")
        with pytest.raises(Unreadable, match=sentence):
            read((tmp_path / "some.zip").read_bytes())


def test_an_encrypted_zip_is_told_apart(read, book):
    locked = bytearray(book(A=[["a"], ["1"]]))
    entry = locked.find(b"PK\x01\x02")
    locked[entry + 8] |= 1
    with pytest.raises(Unreadable, match="password"):
        read(bytes(locked))


# --- GeoJSON ------------------------------------------------------------------------------


def collection(*features: dict, **more) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features), **more})


def feature(geometry: dict | None, **properties) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_features_become_rows_and_numbers_stay_as_written(read):
    text = collection(
        feature({"type": "Point", "coordinates": ["LON", 50.25]}, n=7, note=None),
        feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, kind={"a": [1, True]}),
        feature(None, n="007"),
    )
    parsed = read(text.replace('"LON"', "30.10"))
    assert (parsed.kind, parsed.row_noun) == ("geojson", "feature")
    assert parsed.header == ("longitude", "latitude", "geometry", "n", "note", "kind")
    assert table_of(parsed) == [
        (1, "30.10", "50.25", '{"type":"Point","coordinates":[30.10,50.25]}', "7", "", ""),
        (2, "", "", '{"type":"LineString","coordinates":[[1,2],[3,4]]}', "", "", '{"a":[1,true]}'),
        (3, "", "", "", "007", "", ""),
    ]


def test_brackets_in_text_are_no_depth(read):
    assert read(collection(feature(None, note="[{" * 100 + '\\"['))).row_count == 1


def test_half_a_surrogate_pair_rejects_its_row(read):
    text = '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":"x\\ud800"}}]}'
    assert problems_of(read(text)) == {1: "a: has a control character."}


def test_coordinates_in_another_system_are_refused(read):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    with pytest.raises(Unreadable, match="not longitude and latitude"):
        read(collection(feature(None, a=1), crs=crs))


# --- The walls ----------------------------------------------------------------------------


def test_each_limit_has_its_sentence(read):
    rows = "a,b\n" + "1,2\n" * 300_000
    for limits, sentence in [
        (Limits(file_mb=1), "at most 1 MB are read"),
        (Limits(rows=1000), "more than 1,000 rows"),
        (Limits(memory_mb=32), "memory|could not be read"),
        (Limits(wall_s=0), "longer than"),
    ]:
        with pytest.raises(Unreadable, match=sentence):
            read(rows, limits=limits)


def test_no_room_for_the_rows_is_said(read):
    noise = os.urandom(1_500_000).hex()
    rows = "\n".join(f"{noise[n : n + 99]},x" for n in range(0, len(noise), 100))
    with pytest.raises(Unreadable, match="not enough room"):
        read("a,b\n" + rows, limits=Limits(output_mb=1))


def test_a_child_that_will_not_end_is_ended_with_its_sentence(read, tmp_path, monkeypatch):
    for body, sentence in [
        ("while True: pass", "longer than"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "broke the program"),
        ("raise SystemExit(3)", "could not be read"),
        ("print('no JSON')", "could not be read"),
    ]:
        child = tmp_path / "child.py"
        child.write_text(body)
        monkeypatch.setattr(sandbox, "CHILD", child)
        with pytest.raises(Unreadable, match=sentence):
            read("a,b\n1,2\n", limits=Limits(wall_s=1))


def test_the_child_sees_no_secret_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    assert "do not tell" not in sandbox._environment().values()


def test_the_child_loads_nothing_of_django(tmp_path):
    """Its start is what every upload waits for, and what it does not load it cannot give away."""
    code = f"import runpy, sys; runpy.run_path({str(sandbox.CHILD)!r}); print('django' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-I", "-c", code], text=True).strip() == "False"


def test_the_child_is_bound_before_it_reads(tmp_path):
    """Seen from inside: what the child's own limits are once it has set them."""
    code = (
        "import json, runpy, resource, sys, types\n"
        f"child = runpy.run_path({str(sandbox.CHILD)!r})\n"
        "child['limit'](types.SimpleNamespace(memory_mb=1000, cpu_s=7, output_mb=3, wall_s=9))\n"
        "names = ['RLIMIT_AS', 'RLIMIT_CPU', 'RLIMIT_FSIZE', 'RLIMIT_CORE']\n"
        "print(json.dumps([resource.getrlimit(getattr(resource, n)) for n in names]))\n"
    )
    found = json.loads(subprocess.check_output([sys.executable, "-I", "-c", code]))
    assert found == [[1000 * 2**20] * 2, [7, 7], [3 * 2**20] * 2, [0, 0]]


def test_the_columns_for_row_and_problem_have_one_name_on_both_sides(read):
    parsed = read("a,b\n1,2\n")
    [batch] = parsed.batches()
    assert batch.schema.names == [sandbox.ROW, sandbox.PROBLEM, "a", "b"]
    assert batch.schema.types == [pa.int32(), pa.string(), pa.string(), pa.string()]


def test_every_signal_has_a_sentence():
    for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGXCPU):
        assert sandbox._sentence_for(-number, Limits()).endswith(".")

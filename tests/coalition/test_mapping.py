"""A person maps columns once; a row then gives values, or says in words why not."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.imports.cells import Unclear
from coalition.imports.mapping import Field, Mapping, Problem, apply, faults, fingerprint, suggest
from coalition.imports.sandbox import Row

NATION = Field("nation", "Nation", "country", required=True, synonyms=("country", "iso2", "#country+code+v_iso2"))
WHAT = Field("what", "What it is", max_length=20, synonyms=("pledge_text", "description"))
AMOUNT = Field("amount", "Quantity", "quantity", synonyms=("number",))
STEP = Field("step", "Status", "choice", choices=(("signalled", "Signalled"), ("offered", "Offered")))
FROM = Field("available_from", "Available from", "day", synonyms=("statement_date", "date", "#date+start"))
NOTICE = Field("notice_days", "Notice to move (days)", "integer", low=0, high=365)
FIELDS = (NATION, WHAT, AMOUNT, STEP, FROM, NOTICE)
HEADER = ("Country", "Pledge text", "QUANTITY (persons)", "status", "Statement-Date", "source_url")
COLUMNS = {
    "Country": "nation",
    "Pledge text": "what",
    "QUANTITY (persons)": "amount",
    "status": "step",
    "Statement-Date": "available_from",
}


def a_row(number: int = 2, problem: str | None = None, **cells: str) -> Row:
    """Build a row with the cells of HEADER; keyword arguments name the field that a column is mapped to."""
    stated = {"nation": "Estonia", "what": "a company", "amount": "100-200", "step": "offered", **cells}
    return Row(number, {column: stated.get(COLUMNS.get(column, ""), "") for column in HEADER}, problem)


def test_known_column_names_are_suggested_and_the_rest_is_left_to_the_person():
    assert suggest(HEADER, FIELDS) == Mapping(columns=COLUMNS)


def test_the_better_match_gets_the_field():
    assert suggest(("iso2", "country"), FIELDS).columns == {"country": "nation"}
    assert suggest(("iso2", "nation"), FIELDS).columns == {"nation": "nation"}


def test_tags_of_hxl_name_columns_in_any_language():
    header, tags = ("Pays", "Du"), ("#country +v_iso2 +code", "#date+start")
    assert suggest(header, FIELDS, hxl=tags).columns == {"Pays": "nation", "Du": "available_from"}


@given(st.lists(st.sampled_from([*HEADER, "date", "iso2", "number", "Nation", "x"]), unique=True, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_suggestion_never_uses_a_column_or_field_twice(header):
    mapping = suggest(header, FIELDS)
    assert set(mapping.columns) <= set(header)
    assert len(set(mapping.columns.values())) == len(mapping.columns)
    assert not [fault for fault in faults(mapping, header, FIELDS) if "needed" not in fault]


def test_a_row_becomes_values():
    values, problems = apply(a_row(available_from="2025-08"), Mapping(columns=COLUMNS), FIELDS)
    assert problems == []
    assert values["nation"] == "EE"
    assert (values["amount"].low, values["amount"].high) == (Decimal(100), Decimal(200))
    assert (values["available_from"].first, values["available_from"].precision) == (date(2025, 8, 1), "month")
    assert values["notice_days"] is None


def test_every_problem_names_row_column_value_and_reason():
    row = a_row(7, nation="", amount="a lot", step="x" * 200, available_from="03/04/2025")
    _, problems = apply(row, Mapping(columns=COLUMNS), FIELDS)
    assert [(each.row, each.column) for each in problems] == [
        (7, "Country"),
        (7, "QUANTITY (persons)"),
        (7, "status"),
        (7, "Statement-Date"),
    ]
    assert problems[2].value == "x" * 79 + "…"
    assert str(problems[1]) == "Row 7, column QUANTITY (persons): “a lot” is not a number."
    assert problems[0].reason == "It is empty, and is needed."


def test_a_row_that_the_reader_of_the_file_rejected_stays_rejected():
    values, problems = apply(a_row(9, "The row has 3 cells, the header has 6."), Mapping(columns=COLUMNS), FIELDS)
    assert (values, problems) == ({}, [Problem(9, "", "", "The row has 3 cells, the header has 6.")])
    assert str(problems[0]) == "Row 9: The row has 3 cells, the header has 6."


def test_control_characters_are_refused_and_shown_harmlessly():
    _, [problem] = apply(a_row(what="a\x00\x1b[31m"), Mapping(columns=COLUMNS), FIELDS)
    assert problem.value == "a\\x00\\x1b[31m"


def test_text_is_refused_when_too_long_and_never_cut():
    _, [problem] = apply(a_row(what="x" * 21), Mapping(columns=COLUMNS), FIELDS)
    assert "has 21 characters; at most 20 are kept." in problem.reason


def test_text_that_looks_like_a_formula_stays_text():
    values, problems = apply(a_row(what="=1+1"), Mapping(columns=COLUMNS), FIELDS)
    assert (values["what"], problems) == ("=1+1", [])


def test_a_constant_goes_before_the_file_s_own_word():
    mapping = Mapping(columns=COLUMNS, constants={"step": "signalled", "notice_days": "30"})
    values, problems = apply(a_row(step="reported, unofficial"), mapping, FIELDS)
    assert (values["step"], values["notice_days"], problems) == ("signalled", 30, [])


def test_a_file_s_own_words_can_be_given_a_meaning():
    mapping = Mapping(columns=COLUMNS, words={"step": {"Reported, unofficial": "signalled"}})
    values, _ = apply(a_row(step=" reported, UNOFFICIAL"), mapping, FIELDS)
    assert values["step"] == "signalled"


def test_the_mapping_says_how_dates_and_decimals_are_written():
    mapping = Mapping(columns=COLUMNS, date_order="mdy", decimal_comma=True)
    values, problems = apply(a_row(available_from="03/04/2025", amount="1.500"), mapping, FIELDS)
    assert problems == []
    assert (values["available_from"].first, values["amount"].low) == (date(2025, 3, 4), 1500)


def test_numbers_outside_the_field_s_range_are_refused():
    for text, reason in [("-1", "below 0"), ("366", "above 365")]:
        [fault] = faults(Mapping(columns=COLUMNS, constants={"notice_days": text}), HEADER, FIELDS)
        assert reason in fault


def test_a_field_can_bring_its_own_reader():
    def code(text: str) -> int:
        if text != "INF":
            raise Unclear("is no capability.")
        return 4

    field = Field("capability", "Capability", read=code)
    mapping = Mapping(columns={"c": "capability"})
    assert apply(Row(2, {"c": "INF"}, None), mapping, [field]) == ({"capability": 4}, [])
    assert apply(Row(2, {"c": ""}, None), mapping, [field]) == ({"capability": None}, [])
    assert "is no capability." in apply(Row(2, {"c": "X"}, None), mapping, [field])[1][0].reason


def test_a_mapping_that_cannot_be_used_says_why():
    mapping = Mapping(columns={"gone": "what", "status": "what", "Country": "colour"}, constants={"step": "lost"})
    assert faults(mapping, HEADER, FIELDS) == [
        "The file has no column called 'gone'.",
        "There is no field called 'colour'.",
        "The columns 'gone' and 'status' are both mapped to What it is.",
        "Nation is needed: choose its column, or one value for all rows.",
        "Status: “lost” is not one of: Signalled, Offered.",
    ]
    assert faults(Mapping(columns=COLUMNS), HEADER, FIELDS) == []


TEXT = st.text(max_size=8)


@given(
    st.builds(
        Mapping,
        columns=st.dictionaries(TEXT, TEXT, max_size=4),
        constants=st.dictionaries(TEXT, TEXT, max_size=4),
        words=st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=2), max_size=2),
        date_order=st.sampled_from(["", "dmy", "mdy"]),
        decimal_comma=st.booleans(),
        time_zone=st.sampled_from(["UTC", "Europe/Kyiv"]),
    )
)
@settings(max_examples=50, deadline=None)
def test_a_mapping_comes_back_from_json_as_it_was(mapping):
    assert Mapping.from_json(json.loads(json.dumps(mapping.to_json()))) == mapping
    assert Mapping.from_json(json.dumps(mapping.to_json())) == mapping


@pytest.mark.parametrize(
    "data",
    [
        [],
        "{",
        {"colums": {}},
        {"columns": []},
        {"columns": {"a": 1}},
        {"words": {"a": "b"}},
        {"words": 3},
        {"date_order": "ymd"},
        {"decimal_comma": "yes"},
        {"time_zone": "Europe/Atlantis"},
        {"time_zone": ["UTC"]},
    ],
)
def test_what_is_no_mapping_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        Mapping.from_json(data)


def test_a_header_is_recognised_whatever_its_case_and_punctuation():
    assert fingerprint(["Pledge text", "Date"]) == fingerprint(["pledge_text", " DATE "])
    assert fingerprint(["a", "b"]) != fingerprint(["b", "a"]) != fingerprint(["ab"])

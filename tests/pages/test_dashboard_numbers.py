"""Every number on a dashboard can be got from the API and is the same there, for each role.

The test reads the page as it is: cells of class ``num``, figures, and what carries ``data-number``. A table, a figure or a
marked number that nobody derives from the API here fails by its name.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, acting_as
from coalition.templatetags.formatting import percent, quantity, words
from monitoring import coverage, placing, rollups
from monitoring.models import Source
from monitoring.views.agreements import OF as CLASSES_OF_COUNTS
from pledges import readiness
from pledges.counting import LEVELS
from pledges.models import Capability, Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_party,
    a_pledge,
    a_provision,
    a_report,
    a_requirement,
    a_sector,
    a_source,
    a_term,
    an_agreement,
    an_allocation,
    an_incident,
    the_operation,
)

pytestmark = pytest.mark.django_db
ROLES = [Role.OFFICER, Role.MONITOR, Role.ANALYST, Role.PLANNER]
HEADINGS = ("h1", "h2")


class Marked(HTMLParser):
    """What a page shows as numbers.

    ``tables``: by the heading above (and its place, where there are several) a list of rows, each a dict of the columns
    with numbers, and under "" what names the row. ``figures``: by heading and label. ``numbers``: by their mark.
    """

    def __init__(self, text: str):
        super().__init__()
        self.tables: dict[str, list[dict[str, str]]] = {}
        self.figures: dict[tuple[str, str], str] = {}
        self.numbers: dict[str, str] = {}
        self._heading = self._label = ""
        self._columns: list[str] = []
        self._row: list[tuple[bool, str]] = []
        self._rows: list[dict[str, str]] = []
        self._open: list[tuple[str, str, list[str]]] = []  # tag, what it is, its texts
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        classes = (said.get("class") or "").split()
        if tag in ("svg", "meter", "script", "details"):
            self._silent += tag != "details"
        what = ""
        if tag in HEADINGS:
            what = "heading"
        elif tag == "table":
            self._columns, self._rows = [], []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            what = "num" if "num" in classes and tag == "td" else "column" if said.get("scope") == "col" else "cell"
        elif "figure__label" in classes:
            what = "label"
        elif "figure__value" in classes:
            what = "value"
        elif "data-number" in said:
            what = f"number {said['data-number']}"
        if tag not in ("input", "img", "br", "hr", "meta", "link", "rect", "line", "path", "source"):
            self._open.append((tag, what, []))

    def handle_endtag(self, tag):
        if tag in ("svg", "meter", "script"):
            self._silent -= 1
        while self._open:
            opened, what, texts = self._open.pop()
            if self._open and what != "heading":
                self._open[-1][2].extend(texts)
            if what:
                self._found(what, re.sub(r"[ \n\t]+", " ", "".join(texts)).strip())
            if opened == tag:
                break
        if tag == "tr" and any(is_number for is_number, _ in self._row):
            names = " | ".join(text for is_number, text in self._row if text and not is_number)
            cells = {self._columns[at]: text for at, (is_number, text) in enumerate(self._row) if is_number}
            self._rows.append({"": names} | cells)
        if tag == "table" and self._rows:
            same = sum(name.split(" #")[0] == self._heading for name in self.tables)
            self.tables[f"{self._heading} #{same + 1}" if same else self._heading] = self._rows

    def handle_data(self, data):
        if self._open and not self._silent:
            self._open[-1][2].append(data)

    def _found(self, what: str, text: str):
        match what:
            case "heading":
                self._heading = text
            case "label":
                self._label = text
            case "value":
                self.figures[self._heading, self._label] = text
            case "column":
                text = text.removesuffix(" how?")
                before = sum(column.split(" #")[0] == text for column in self._columns)
                self._columns.append(f"{text} #{before + 1}" if before else text)
            case "num":
                self._row.append((True, text))
            case "cell":
                self._row.append((False, text))
            case _:
                name = what.removeprefix("number ")
                assert name not in self.numbers, f"two numbers are marked {name}"
                self.numbers[name] = text


class Expected:
    """What the API says a page must show; ``see`` compares."""

    def __init__(self, client: Client):
        self.client = client
        self.tables: dict[str, list[dict[str, str]]] = {}
        self.figures: dict[tuple[str, str], str] = {}
        self.numbers: dict[str, str] = {}

    def api(self, path: str, whole: bool = False, **asked):
        answer = self.client.get(f"/api/v1/{path}", asked)
        assert answer.status_code == 200, (path, asked, answer.content)
        return answer.json() if whole else answer.json()["results"]

    def see(self, address: str, **asked) -> tuple[int, list[str]]:
        """Return how many numbers the page shows, and what is not as the API says."""
        address = address.format(incident=the_incident(self.client)) if "{" in address else address
        page = self.client.get(address, asked)
        assert page.status_code == 200, (address, page.status_code)
        shown = Marked(page.content.decode())
        wrong = differences("marked", shown.numbers, self.numbers) + differences("figure", shown.figures, self.figures)
        wrong += differences("table", dict.fromkeys(shown.tables), dict.fromkeys(self.tables))
        for name, rows in self.tables.items():
            if rows is not None and name in shown.tables:  # None: said of another day each, in test_readiness_numbers
                found = (
                    [matrix_tidied(row) for row in shown.tables[name]] if name == "Readiness" else shown.tables[name]
                )
                loose = {column for row in rows for column, cell in row.items() if cell is None}
                found = [row | dict.fromkeys(loose & row.keys()) for row in found]
                for which, these, those in (("only on the page", found, rows), ("only in the API", rows, found)):
                    wrong += [f"{name}, {which}: {row}" for row in these if row not in those]
                wrong += [] if len(found) == len(rows) else [f"{name}: {len(found)} rows for {len(rows)} of the API"]
        numbers = sum(len(row) - 1 for rows in shown.tables.values() for row in rows)
        return len(shown.numbers) + len(shown.figures) + numbers, [f"{address} {each}" for each in wrong]


def differences(what: str, shown: dict, expected: dict) -> list[str]:
    """Return what differs. A value of None in ``expected`` is not compared."""
    return [
        f"{what} {name}: the page says {shown.get(name)}, the API {expected.get(name)}"
        for name in sorted(shown.keys() | expected.keys(), key=str)
        if name not in shown or name not in expected or expected[name] not in (None, shown[name])
    ]


def chance(row: dict, name: str, prefix: str = "") -> str:
    """A chance as the page writes it: with what it can be off."""
    value = row.get(name)
    if value is None:
        return "–"
    off = f" ± {percent(row[f'{prefix}error'])}" if row[f"{prefix}method"] != "exact" else ""
    return f"{percent(value)}{off}"


def amount(value, unit: str = "") -> str:
    return f"{quantity(value)} {unit}".strip()


# --- Readiness --------------------------------------------------------------------------------------


@pytest.fixture
def world():
    return a_world()


def a_world():
    """Pledges and reports with a bit of everything: levels, tiers, sectors, classes, incidents, breaches."""
    with acting_as(SYSTEM):
        operation = the_operation()
        operation.mandate_until = operation.starts_on + timedelta(days=200)
        operation.save()
        today = operation.today()
        north = a_sector("north", name="North")
        gates = [a_condition(state="open"), a_condition(state="failed")]
        for number, code in enumerate(("infantry", "medics", "headquarters")):
            alone = Capability.Aggregation.ANY if code == "headquarters" else Capability.Aggregation.SUM
            capability = a_capability(code, aggregation=alone, category=["troops", "medical"][number % 2])
            lines = [
                a_requirement(
                    size,
                    capability,
                    sector=[north, None][at],
                    tier=at + 2,
                    needed_from=today,
                    needed_until=[None, today + timedelta(days=400)][at],
                )
                for at, size in enumerate((100, 37.5))
            ]
            for at, status in enumerate((*Pledge.ON_LADDER, "committed", "offered")):
                pledge = a_pledge(
                    [20, 12.25, None][at % 3],
                    capability,
                    nation=["FR", "GB", "EE"][at % 3 if number else 0],
                    status=status,
                    tier=at % 3 + 1,
                    conditions=gates[at % 3 - 1 : at % 3],
                    available_from=today,
                    available_until=[None, today + timedelta(days=90)][at % 2],
                )
                if pledge.quantity:
                    an_allocation(pledge, lines[at % 2])
        day = today - timedelta(days=1)
        told = {"occurred_on": day}
        noon = operation_noon(day)
        ru = a_party("ru")
        agreement = an_agreement("pause", name="Pause")
        article = a_provision("1(c)", agreement=agreement, act_kinds=["explosion"])
        a_term(article, "ru", noon - timedelta(days=40))
        a_term(article, "ua", noon - timedelta(days=1))
        incident = an_incident(at=noon, accused=ru, occurred_on=day)
        a_report(at=noon, incident=incident, accused=ru, **told)
        a_report(at=noon, incident=incident, accused=ru, source=a_source("press", source_class="media"), **told)
        hidden = an_incident(at=noon, tier=3, occurred_on=day)
        a_report(at=noon, incident=hidden, tier=2, **told)
        for back, tier, status in (
            (0, 2, "received"),
            (0, 3, "received"),
            (1, 2, "screened"),
            (9, 2, "received"),
            (3, 2, "duplicate"),
        ):
            report = a_report(
                ["explosion", "shot"][back % 2],
                noon - timedelta(days=back),
                occurred_on=day - timedelta(days=back),
                tier=tier,
                accused=[ru, None][back % 2],
                count_low=3,
                count_high=5,
                count_unit="shots",
            )
            type(report).objects.filter(pk=report.pk).update(status=status)
        a_report(at=noon + timedelta(hours=20), occurred_on=today)
        for precision, sensitive in ((100, False), (100, True), (20_000, False)):
            report = a_report(at=noon, sensitive=sensitive, **told)
            report.longitude, report.latitude, report.place_precision_m = 30.3, 50.2, precision
            placing.place(report)
            report.save()
        readiness.sweep()
        rollups.mark_all()
        rollups.sweep()
        coverage.sweep()
    return operation


def operation_noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def browser_of(role) -> Client:
    with acting_as(SYSTEM):
        user = a_member(role)
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def totals(rows: list[dict]) -> dict[str, str]:
    needed = [row for row in rows if row["share"] is not None]
    mean = sum(row["share"] for row in needed) / len(needed) if needed else None
    return {
        "share": percent(mean),
        "lines": quantity(sum(row["lines_met"] for row in rows)),
        "capabilities": quantity(sum(row["gap"] == 0 for row in needed)),
    }


def own_stricter(expected: Expected, role: str) -> None:
    if role != Role.OFFICER:
        return
    rows = expected.api("pledges/", nation="FR", tier="planning", superseded="false", limit=1000)
    number = sum(row["status"] in Pledge.ON_LADDER for row in rows)
    if number:
        expected.numbers["own_stricter"] = str(number)


def of_overview(expected: Expected, role: str, operation) -> None:
    today = operation.today()
    now = expected.api("readiness/capabilities/", on=str(today))
    start = expected.api("readiness/capabilities/")
    for label, rows in (("today", now), ("start day", start)):
        found = totals(rows)
        expected.figures["How ready", f"Mean share, {label}"] = found["share"]
        expected.figures["How ready", f"Lines met, {label}"] = found["lines"]
    expected.figures["How ready", "Capabilities covered, start day"] = totals(start)["capabilities"]
    own_stricter(expected, role)
    expected.tables["Worst gaps on the start day"] = [
        {
            "": f"{row['capability_name']} | {percent(row['share'])}",
            "Need": amount(row["need"], row["unit"]),
            "Covered": quantity(row["covered"]),
            "Gap": quantity(row["gap"]),
        }
        for row in [row for row in start if row["share"] is not None and row["gap"] > 0][:8]
    ]
    if role in (Role.OFFICER, Role.PLANNER):
        nation = {"nation": "FR"} if role == Role.OFFICER else {}
        if overdue := len(expected.api("pledges/", overdue="true", limit=1000, **nation)):
            expected.numbers["overdue"] = str(overdue)
    if role == Role.PLANNER:
        waiting = expected.api("pledges/", status="committed", superseded="false", limit=1000)
        expected.numbers["to_verify"] = str(len(waiting))
    day = today - timedelta(days=1)
    week = expected.api("reports/daily/", occurred_after=str(today - timedelta(days=7)), occurred_before=str(today))
    for value, label in Source.Class.choices:
        of_class = {row["day"]: row for row in week if row["source_class"] == value}
        events = {each: row["events"] for each, row in of_class.items()}
        expected.figures["Reported violations", f"{label}, {day}"] = quantity(events.get(str(day), 0))
        expected.numbers[f"reports {label}"] = quantity(of_class.get(str(day), {"reports": 0})["reports"])
        if events.get(str(today)):
            expected.numbers[f"so far {label}"] = quantity(events[str(today)])
        mean = sum(number for each, number in events.items() if each != str(today)) / 7
        expected.numbers[f"mean {label}"] = f"{mean:.1f}"


def of_matrix(expected: Expected, role: str, operation) -> None:
    rows = expected.api("readiness/capabilities/")
    found = totals(rows)
    expected.figures |= {
        ("Readiness", "Mean share of the needs"): found["share"],
        ("Readiness", "Capabilities fully covered"): found["capabilities"],
        ("Readiness", "Lines met"): found["lines"],
    }
    own_stricter(expected, role)
    expected.tables["Readiness"] = [matrix_row(row) for row in rows]


def matrix_row(row: dict) -> dict[str, str]:
    cells = {
        "": row["capability_name"],
        "Need": amount(row["need"], row["unit"]) if row["need"] else f"– {row['unit']}",
        "Covered": quantity(row["covered"]) if row["need"] else "–",
        "Gap": quantity(row["gap"]),
    }
    if "p_all" in row:
        more = [row["verdict"], row["worst_line"] and f"least R{row['worst_line']}"]
        cells["All met"] = " ".join(filter(None, [chance(row, "p_all"), *more]))
        cells["Pooled"] = chance(row, "pooled_p_met", "pooled_")
    cells |= {words(level): quantity(row[f"at_{level}"]) for level in LEVELS}
    blocked = f"{quantity(row['blocked'])} in {row['blocked_pledges']}" if row["blocked_pledges"] else "0"
    return cells | {"Blocked": blocked, "Free": quantity(row["free"]), "unquantified": str(row["unquantified"])}


def matrix_tidied(row: dict[str, str]) -> dict[str, str]:
    """The row's name alone, and what is unquantified in all levels together, as the API has it."""
    cells, unquantified = dict(row), 0
    cells[""] = re.split(r" \d+ warning| \|", row[""])[0]
    for level in LEVELS:
        cells[words(level)], _, more = row[words(level)].partition(" +")
        unquantified += int(more.split()[0]) if more else 0
    return cells | {"unquantified": str(unquantified)}


def of_capability(expected: Expected, role: str, operation) -> None:
    [row] = expected.api("readiness/capabilities/", capability="infantry")
    name = row["capability_name"]
    expected.figures |= {
        (name, "Need"): quantity(row["need"], row["unit"]),
        (name, "Covered"): quantity(row["covered"]),
        (name, "Gap"): quantity(row["gap"]),
        (name, "Stands at the threshold or better"): quantity(row["standing"]),
        (name, "Free pool"): quantity(row["free"]),
    }
    if row["reserve"]:
        expected.figures[name, "Reserve beyond need"] = quantity(row["reserve"])
    starts = str(max(operation.starts_on, operation.today()))
    heading = f"Requirement lines on {starts}"
    lines = expected.api("readiness/", capability="infantry")
    expected.tables[heading] = [
        {"": None, "Need": quantity(line["need"]), "Covered": quantity(line["covered"]), "Gap": quantity(line["gap"])}
        | ({"P(met)": chance(line, "p_met"), "Gap days": None} if "p_met" in line else {})
        for line in lines
        if line["need"] is not None
    ]
    if "p_all" in row:
        expected.figures |= {
            (name, "All lines met, as allocated"): percent(row["p_all"]),
            (name, "If everything could be moved"): percent(row["pooled_p_met"]),
            (name, "Expected coverage"): percent(row["expected_coverage"]),
            (name, "Comes, 9 in 10"): quantity(row["pooled_x10"]),
            (name, "At least 80 % from"): None,
            (name, "Days with a gap"): None,
        }
    tier = "planning" if role == Role.PLANNER else "coalition"
    pledges = expected.api("pledges/", capability="infantry", on=starts, counted=tier, limit=1000)
    unit = row["unit"]
    expected.tables[f"{heading} #2"] = [
        {"": None, "Quantity": "unquantified" if pledge["quantity"] is None else amount(pledge["quantity"], unit)}
        for pledge in pledges
    ]
    expected.tables["The chart as a table"] = None


def of_nations_matrix(expected: Expected, role: str, operation) -> None:
    own_stricter(expected, role)
    rows: dict[str, dict[str, str]] = {}
    for cell in expected.api("readiness/nations/"):
        row = rows.setdefault(
            cell["nation"], {"": cell["nation_name"]} | dict.fromkeys(Capability.Category.labels, "·")
        )
        text = str(cell["pledges"]) + (f" +{cell['blocked']} blocked" if cell["blocked"] else "")
        text += f"{cell['firm_or_better']} firm" if cell["firm_or_better"] else ""
        row[Capability.Category(cell["category"]).label] = text
    expected.tables["Readiness by nation"] = list(rows.values())


def of_nations(expected: Expected, role: str, operation) -> None:
    pledges = expected.api("pledges/", superseded="false", limit=1000)
    expected.tables["Nations"] = [
        {"": None}
        | {
            status.label: str(sum((row["nation"], row["status"]) == (nation["code"], status.value) for row in pledges))
            for status in Pledge.ON_LADDER
        }
        for nation in expected.api("nations/", limit=1000)
    ]


def of_nation(expected: Expected, role: str, operation) -> None:
    pledges = expected.api("pledges/", nation="FR", limit=1000)
    expected.tables["Conditions of its own"] = [
        {"": None, "Quantity": "unquantified" if row["quantity"] is None else amount(row["quantity"], row["unit"])}
        for row in pledges
    ]
    if overdue := len(expected.api("pledges/", nation="FR", overdue="true", limit=1000)):
        expected.numbers["overdue"] = str(overdue)


def of_gaps(expected: Expected, role: str, operation) -> None:
    expected.tables["Gap paper"] = [
        {
            "": None,
            "P(met)": chance(row, "p_met"),
            "Expected coverage": percent(row["expected_coverage"]),
            "Need": amount(row["need"], row["unit"]),
            "Missing": quantity(row["missing"]),
            "Comes, 9 in 10": quantity(row["x10"]),
        }
        for row in expected.api("readiness/gaps/")
    ]


def of_cliffs(expected: Expected, role: str, operation) -> None:
    def sure(row: dict, after: str) -> str:
        value = row[f"p_met{after}"]
        return "–" if value is None else f"{percent(value)} {percent(row[f'expected_coverage{after}'])} expected"

    expected.tables["Cliffs"] = [
        {
            "": None,
            "Allocated": "–" if row["allocated"] is None else quantity(row["allocated"]),
            "Covered that day": f"{quantity(row['covered'])} of {quantity(row['need'])}",
            "The day after": quantity(row["covered_after"]),
            "P(met) that day": sure(row, ""),
            "The day after #2": sure(row, "_after"),
        }
        for row in expected.api("readiness/cliffs/")
        if row["requirement"]
    ]


def of_requirements(expected: Expected, role: str, operation) -> None:
    answers = {}
    for line in expected.api("requirements/", limit=1000):
        on = str(max(operation.today(), datetime.fromisoformat(line["needed_from"]).date()))
        [answers[line["id"]]] = [row for row in expected.api("readiness/", on=on) if row["requirement"] == line["id"]]
    expected.tables["Requirements"] = [
        {
            "": None,
            "Need": amount(line["quantity"], answers[line["id"]]["unit"]),
            "Covered": quantity(answers[line["id"]]["covered"]),
            "Notice, d": "any" if line["notice_days"] is None else str(line["notice_days"]),
        }
        | ({"P(met)": chance(answers[line["id"]], "p_met")} if role == Role.PLANNER else {})
        for line in expected.api("requirements/", limit=1000)
    ]


def of_allocations(expected: Expected, role: str, operation) -> None:
    expected.tables["Allocations"] = [
        {"": None, "Quantity": amount(row["quantity"], "persons")} for row in expected.api("allocations/", limit=1000)
    ]


# --- Monitoring -------------------------------------------------------------------------------------


def of_trends(expected: Expected, role: str, operation) -> None:
    last = operation.today() - timedelta(days=1)
    first = last - timedelta(days=27)
    earlier = first - timedelta(days=28)

    def counted(since, until, **asked) -> list[dict]:
        asked = {"source_class": "monitors"} | asked
        asked = {name: value for name, value in asked.items() if value}
        return expected.api("reports/daily/", occurred_after=str(since), occurred_before=str(until), **asked)

    for each in {row["source_class"] for row in counted(first, last, source_class="")} | set(Source.Class.values):
        events = sum(row["events"] for row in counted(first, last, source_class="") if row["source_class"] == each)
        expected.numbers[f"events {each}" if each else "events in no class"] = quantity(events)
    days = counted(first - timedelta(days=7), last)
    by_day = {row["day"]: row for row in days}

    def events_on(day) -> int:
        return by_day.get(str(day), {"events": 0})["events"]

    now, before = counted(first, last), counted(earlier, first - timedelta(days=1))
    total = sum(row["events"] for row in now)
    expected.figures |= {
        ("Trends", "Events"): quantity(total),
        ("Trends", "In as many days before"): quantity(sum(row["events"] for row in before)),
        ("Trends", "A day, mean of the last 7"): f"{sum(events_on(last - timedelta(n)) for n in range(7)) / 7:.1f}",
        ("Trends", "Reports"): quantity(sum(row["reports"] for row in now)),
    }
    weeks: dict = {}
    for number in range(28):
        day = first + timedelta(days=number)
        monday = day - timedelta(days=day.weekday())
        weeks[monday] = weeks.get(monday, 0) + events_on(day)
    expected.numbers |= {f"week {max(monday, first)}": quantity(events) for monday, events in weeks.items()}
    span = {"occurred_after": str(first), "occurred_before": str(last)}
    for row in expected.api("reports/daily/unwatched/", **span):
        expected.numbers[f"unwatched {row['sector']}"] = str(row["days"])

    def grouped(by: str) -> dict:
        groups: dict = {}
        for since, until, at in ((first, last, 0), (earlier, first - timedelta(days=1), 1)):
            for row in counted(since, until, by=by):
                group = groups.setdefault(row["by"], [0, 0, 0])
                group[at] += row["events"]
                group[2] += 0 if at else row["reports"]
        return groups

    for by in ("kind", "family", "sector", "accused", "occurrence"):
        groups = grouped(by)
        if by == "sector":  # what is in none stands apart by how it is placed; what is in one is placed
            groups.pop(None, None)
            placed = grouped("place")
            inside = [sum(column) for column in zip([0, 0, 0], *groups.values(), strict=True)]
            outside = [whole - part for whole, part in zip(placed.pop("placed", [0, 0, 0]), inside, strict=True)]
            groups |= placed | ({"placed": outside} if any(outside) else {})
        expected.tables["Area" if by == "sector" else by.capitalize()] = [
            {
                "": None,
                "Events": quantity(now),
                "Before": quantity(then),
                "Change": signed(now - then),
                "Reports": quantity(reports),
            }
            for now, then, reports in groups.values()
        ]
    units: dict = {}
    for row in counted(first, last, by="count_unit"):
        unit = units.setdefault(row["by"], [0, 0, 0, 0])
        for at, name in enumerate(("low", "high", "unknown", "reports")):
            unit[at] += row[name]
    expected.tables["What the reports counted"] = [
        {"": None, "At least": quantity(low), "At most": quantity(high), "Reports without a number": quantity(unknown)}
        for low, high, unknown, reports in units.values()
        if reports
    ]
    expected.tables["Days"] = [
        {
            "": None,
            "Events": quantity(events_on(day)),
            "Mean of the 7 days before": f"{sum(events_on(day - timedelta(n)) for n in range(1, 8)) / 7:.1f}",
            "Reports": quantity(by_day.get(str(day), {"reports": 0})["reports"]),
        }
        for day in (first + timedelta(days=number) for number in range(28))
    ]


def signed(number: int) -> str:
    return "0" if not number else f"{'+' if number > 0 else '−'}{quantity(abs(number))}"


def of_map(expected: Expected, role: str, operation) -> None:
    span = {
        "occurred_after": str(operation.today() - timedelta(days=6)),
        "occurred_before": str(operation.today()),
    }
    answer = expected.api("reports/hexes/", whole=True, **span)
    expected.numbers["events"] = quantity(sum(row["events"] for row in answer["results"]))
    expected.numbers |= {name: quantity(answer[name]) for name in ("too_vague", "no_place")}


def of_agreement(expected: Expected, role: str, operation) -> None:
    rows: dict = {}
    for row in expected.api("agreements/pause/counts/"):
        line = rows.setdefault((row["dates"], row["accused"], row["third_party"], row["answer"]), {})
        line[row["of"]] = row["events"]
        line["violations"] = line.get("violations", 0) + (row["violations"] or 0)
    heading = "Article 1(c) Cessation of fire"
    expected.tables[heading] = [
        {"": None}
        | {label: quantity(line.get(of, 0)) for of, label in CLASSES_OF_COUNTS.items()}
        | {"Found a violation": "–" if answer == "unclear" else quantity(line["violations"])}
        for (_, _, _, answer), line in rows.items()
    ]


def of_triage(expected: Expected, role: str, operation) -> None:
    expected.numbers["waiting"] = quantity(len(expected.api("reports/", waiting="true", limit=1000)))


def of_incidents(expected: Expected, role: str, operation) -> None:
    expected.tables["Incidents"] = [
        {"": None, "Reports": str(len(row["reports"]))} for row in expected.api("incidents/", limit=1000)
    ]


def of_incident(expected: Expected, role: str, operation) -> None:
    expected.numbers["reports"] = str(
        len(expected.api(f"incidents/{the_incident(expected.client)}/", whole=True)["reports"])
    )


def the_incident(client: Client) -> int:
    """The incident of two reports, which everybody sees."""
    [found] = [row for row in client.get("/api/v1/incidents/").json()["results"] if len(row["reports"]) == 2]
    return found["id"]


PAGES: dict[str, Callable] = {
    "/": of_overview,
    "/readiness/": of_matrix,
    "/readiness/infantry/": of_capability,
    "/readiness/nations/": of_nations_matrix,
    "/nations/": of_nations,
    "/nations/FR/": of_nation,
    "/readiness/gaps/": of_gaps,
    "/readiness/cliffs/": of_cliffs,
    "/requirements/": of_requirements,
    "/allocations/": of_allocations,
    "/monitoring/": of_map,
    "/monitoring/trends/": of_trends,
    "/monitoring/triage/": of_triage,
    "/monitoring/incidents/": of_incidents,
    "/monitoring/incidents/{incident}/": of_incident,
    "/monitoring/agreements/pause/": of_agreement,
}
FOR_PLANNERS = {"/readiness/gaps/", "/readiness/cliffs/"}
FOR_MONITORS = {"/monitoring/triage/"}


@pytest.mark.parametrize("role", ROLES)
def test_every_number_of_a_dashboard_is_the_one_the_api_gives(world, role):
    client, compared, wrong = browser_of(role), 0, []
    for address, derive in PAGES.items():
        closed = address in FOR_PLANNERS and role != Role.PLANNER
        closed |= address in FOR_MONITORS and role not in (Role.MONITOR, Role.PLANNER)
        if closed:
            assert client.get(address).status_code == 403, address
            continue
        expected = Expected(client)
        derive(expected, role, world)
        numbers, differing = expected.see(address)
        compared += numbers
        wrong += differing
    assert wrong == []
    assert compared > 300

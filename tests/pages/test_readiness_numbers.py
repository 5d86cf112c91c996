"""Every number on the readiness pages is the one the API gives, for each tier, threshold and place."""

import csv
from datetime import timedelta
from html.parser import HTMLParser
from random import Random

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.templatetags.formatting import percent, quantity
from pledges import readiness
from pledges.counting import LEVELS
from pledges.models import Capability, Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    a_sector,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db
API = "/api/v1/readiness/"
OF_LINES = (
    "p_met",
    "expected",
    "expected_coverage",
    "x10",
    "x50",
    "x90",
    "method",
    "error",
    "quantity_error",
    "problem",
)
OF_CAPABILITIES = (
    "p_all", "worst_line", "expected_coverage", "method", "error", "verdict", "problem", "pooled_p_met",
    "pooled_expected", "pooled_x10", "pooled_x50", "pooled_x90", "pooled_method", "pooled_error",
    "pooled_quantity_error",
)  # fmt: skip


@pytest.fixture
def plan():
    """A plan that has a bit of everything: all levels, tiers and sectors, blocked, unquantified, one-alone, past days."""
    chosen = Random(3)
    with acting_as(SYSTEM):
        operation = the_operation()
        today = operation.today()
        conditions = [a_condition(state=state) for state in ("open", "open", "open", "failed", "met")]
        sectors = [a_sector("north"), a_sector("south"), None]
        for code in ("infantry", "armour", "medics", "bridges", "headquarters"):
            one_alone = Capability.Aggregation.ANY if code == "headquarters" else Capability.Aggregation.SUM
            capability = a_capability(code, aggregation=one_alone, category=chosen.choice(["troops", "medical"]))
            lines = [
                a_requirement(
                    chosen.choice([10, 37.5, 400]),
                    capability,
                    sector=sector,
                    tier=chosen.choice([Tier.COALITION, Tier.PLANNING]),
                    priority=chosen.randint(1, 3),
                    needed_from=today + timedelta(days=chosen.randint(-20, 40)),
                    needed_until=chosen.choice([None, today + timedelta(days=300)]),
                    notice_days=chosen.choice([None, 5]),
                )
                for sector in sectors
            ]
            for status in (*Pledge.ON_LADDER, "offered", "committed"):
                pledge = a_pledge(
                    chosen.choice([12, 40, 125.25, None]),
                    capability,
                    nation=chosen.choice(["FR", "GB", "EE"]),
                    status=status,
                    tier=chosen.choice(list(Tier)),
                    conditions=tuple(chosen.sample(conditions, chosen.choice([0, 0, 1, 2]))),
                    available_from=today + timedelta(days=chosen.randint(-10, 60)),
                    notice_days=chosen.choice([0, 10]),
                )
                if pledge.quantity:
                    an_allocation(pledge, chosen.choice(lines))
    readiness.sweep()
    return operation


def browser_of(role) -> Client:
    with acting_as(SYSTEM):
        user = a_member(role)
    client = Client()
    client.force_login(user, backend="coalition.accounts.EqualWork")
    return client


class Tables(HTMLParser):
    """The body rows of every table each a list of cells' words; and the figures."""

    def __init__(self, answer):
        super().__init__()
        self.rows: list[list[str]] = []
        self.figures: list[str] = []
        self._in, self._hidden = None, 0
        self.feed(answer.content.decode())

    def handle_starttag(self, tag, attributes):
        classes = dict(attributes).get("class", "") or ""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in = "cell"
        elif classes == "figure__value":
            self.figures.append("")
            self._in = "figure"
        elif tag in ("svg", "meter"):
            self._hidden += 1

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li"):
            self._in = None
        elif tag in ("svg", "meter"):
            self._hidden -= 1

    def handle_data(self, data):
        if self._hidden:
            return
        if self._in == "cell":
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split(" ")).strip(" \n")
        elif self._in == "figure":
            self.figures[-1] += data
            self._in = None

    def row_of(self, words: str) -> list[str]:
        [found] = [row for row in self.rows if row and f"{row[0]} ".startswith(f"{words} ")]
        return found


def api(browser, path="", **asked) -> list[dict]:
    answer = browser.get(API + path, asked)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def asked_at(operation) -> list[dict]:
    """Return questions that differ in day, tier, threshold and place."""
    today = operation.today()
    return [
        {"on": str(today + timedelta(days=days)), "tier": tier, "threshold": threshold, **place}
        for days, threshold in ((0, "firm"), (30, "offered"), (90, "in_place"))
        for tier in ("public", "coalition", "planning")
        for place in ({}, {"sector": "north"})
    ]


def chance(value: float | None) -> str:
    return "–" if value is None else percent(value)


def test_every_cell_of_the_matrix_is_a_number_of_the_api(plan):
    browser, cells = browser_of(Role.PLANNER), 0
    for asked in asked_at(plan):
        shown, rows = Tables(browser.get("/readiness/", asked)), api(browser, "capabilities/", **asked)
        with_sure = asked["tier"] == "planning" and "sector" not in asked
        for row in rows:
            name, need, covered, gap, share, _, *rest = shown.row_of(row["capability_name"])
            assert need.startswith(quantity(row["need"]) if row["need"] else "–"), asked
            assert covered == (quantity(row["covered"]) if row["need"] else "–"), asked
            assert gap == quantity(row["gap"] or 0), asked
            assert share == percent(row["share"]), asked
            assert ("warning" in name) == bool(row["warnings"]), asked
            if with_sure:
                everything, pooled, *rest = rest
                assert everything.startswith(chance(row["p_all"])), asked
                assert (row["verdict"] or "") in everything
                assert row["worst_line"] is None or f"R{row['worst_line']}" in everything
                assert pooled.startswith(chance(row["pooled_p_met"]) if row["p_all"] is not None else "–"), asked
            unquantified = 0
            for level, cell in zip(LEVELS, rest, strict=False):
                amount, _, more = cell.partition(" +")
                assert amount == quantity(row[f"at_{level}"] or 0), (asked, level)
                unquantified += int(more.split()[0]) if more else 0
            assert unquantified == row["unquantified"], asked
            blocked, free = rest[len(LEVELS) :]
            assert blocked == (
                f"{quantity(row['blocked'])} in {row['blocked_pledges']}" if row["blocked_pledges"] else "0"
            )
            assert free == quantity(row["free"] or 0), asked
            cells += 6 + len(rest)
        needed = [row for row in rows if row["share"] is not None]
        if rows:
            mean = sum(row["share"] for row in needed) / len(needed) if needed else None
            met = [str(sum(row["gap"] == 0 for row in needed)), str(sum(row["lines_met"] for row in rows))]
            assert shown.figures[:3] == [percent(mean), *met], asked
    assert cells > 500


def test_every_line_of_a_capability_is_a_number_of_the_api(plan):
    browser, cells = browser_of(Role.PLANNER), 0
    for asked in asked_at(plan)[::2]:
        for row in api(browser, "capabilities/", **asked):
            code = row["capability"]
            page = browser.get(f"/readiness/{code}/", asked)
            shown = Tables(page)
            for line in api(browser, capability=code, **asked):
                words = shown.row_of(f"R{line['requirement']}")
                if line["need"] is None:
                    assert words[5] == "not needed that day"
                    continue
                assert words[5:8] == [quantity(line[name]) for name in ("need", "covered", "gap")], asked
                assert words[8] == percent(line["share"]), asked
                if asked["tier"] == "planning":
                    assert words[9].startswith(chance(line["p_met"])), asked
                cells += 5
            if asked["tier"] == "planning" and row["p_all"] is not None:
                texts = [percent(row[name]) for name in ("p_all", "pooled_p_met", "expected_coverage")]
                at = shown.figures.index(texts[0])
                assert shown.figures[at : at + 3] == texts
                if code != "headquarters":
                    assert shown.figures[at + 3] == quantity(row["pooled_x10"])
    assert cells > 100


def test_every_stretch_of_the_chart_is_what_the_api_says_of_its_first_day(plan):
    browser = browser_of(Role.PLANNER)
    for tier in ("coalition", "planning"):
        answer = browser.get("/readiness/armour/data.csv", {"tier": tier})
        stretches = list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))
        assert len(stretches) > 5
        for stretch in stretches:
            [row] = api(browser, "capabilities/", capability="armour", on=stretch["first"], tier=tier)
            names = ["covered", "free", *(f"at_{level}" for level in LEVELS)]
            shown = [stretch[name.removeprefix("at_")] for name in names]
            assert [float(value) for value in shown] == [row[name] for name in names]
            assert float(stretch["need"]) == (row["need"] or 0)
            if tier == "planning":
                numbers = [name for name in OF_CAPABILITIES if name in stretch and not name.endswith("method")]
                assert len(numbers) > 8
                assert [float(stretch[name]) if stretch[name] else None for name in numbers] == [
                    None if row[name] is None else float(row[name]) for name in numbers
                ]


def test_every_line_of_the_gap_paper_is_a_number_of_the_api(plan):
    browser = browser_of(Role.PLANNER)
    today = str(plan.today())
    shown = Tables(browser.get("/readiness/gaps/", {"on": today}))
    rows = [row for row in shown.rows if row and row[0].startswith("R")]
    assert len(rows) > 5
    for row in rows:
        number = int(row[0].split()[0][1:])
        [line] = [line for line in api(browser, on=today) if line["requirement"] == number]
        if line["need"] is None:  # shown on its own first day
            [line] = [later for later in api(browser, on=line["needed_from"]) if later["requirement"] == number]
        assert row[3].startswith(chance(line["p_met"]))
        assert row[4] == percent(line["expected_coverage"])
        assert row[7].startswith(quantity(line["need"]))
        assert row[8] == quantity(line["gap"])
        assert row[9] == quantity(line["x10"])


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_below_the_planning_tier_the_api_does_not_even_name_the_chances(plan, role, form):
    browser = browser_of(role)
    for path, names in (("", OF_LINES), ("capabilities/", OF_CAPABILITIES)):
        answer = browser.get(API + path, {"format": form})
        if form == "json":
            keys = {key for row in answer.json()["results"] for key in row}
        else:
            keys = set(b"".join(answer.streaming_content).decode().splitlines()[0].split(","))
        assert {"need", "covered"} <= keys
        assert keys.isdisjoint(names)
        assert browser.get(API + path, {"tier": "planning"}).status_code == 403


def test_planners_get_the_chances_in_their_own_tier_only(plan):
    browser = browser_of(Role.PLANNER)
    for path, names in (("", OF_LINES), ("capabilities/", OF_CAPABILITIES)):
        assert set(names) <= api(browser, path)[0].keys()
        for tier in ("public", "coalition"):
            for row in api(browser, path, tier=tier):
                assert row.keys().isdisjoint(names)


@pytest.mark.parametrize("days", [0, 30, 250])
def test_a_what_if_that_supposes_nothing_says_what_is_stored(plan, days):
    browser, on = browser_of(Role.PLANNER), str(plan.today() + timedelta(days=days))
    answer = browser.post(f"{API}what-if/", {"on": on, "effects": True}, content_type="application/json").json()
    stored = {row["requirement"]: row for row in api(browser, on=on) if row["p_met"] is not None}
    assert {line["requirement"] for line in answer["lines"]} == stored.keys()
    for line in answer["lines"]:
        row = stored[line["requirement"]]
        assert line["before"] == line["after"] == pytest.approx(row["p_met"], abs=1e-9)
        assert line["covered_after"] == pytest.approx(row["expected_coverage"], abs=1e-9)
    assert answer["expected_before"] == pytest.approx(sum(row["p_met"] for row in stored.values()), abs=1e-9)
    assert answer["nations"]

"""The trends page and the overview's half of it: what is said, for whom, of which days, and how it may be asked."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Stale
from monitoring import rollups
from tests.factories import a_member, a_report, a_sector, a_source, an_incident, the_operation

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 3, 11, 10, tzinfo=UTC)  # the day after the reports of the factories


@pytest.fixture(autouse=True)
def _today():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def reports():
    with acting_as(SYSTEM):
        the_operation()
        a_sector("north")
        incident = an_incident()
        a_report(incident=incident)
        a_report(incident=incident)
        a_report(kind="shot", count_low=3, count_high=5, count_unit="shots")
        a_report(tier=Tier.PLANNING, kind="denial")
        a_report(source=a_source("press", source_class="media"))
        a_report(at=NOW - timedelta(days=2))
        a_report(at=NOW)
    rollups.sweep()


def page_of(role, address="/monitoring/trends/"):
    client = Client()
    client.force_login(a_member(role))
    return client.get(address)


@pytest.mark.usefixtures("reports")
def test_own_monitors_come_first_and_the_last_four_whole_weeks():
    page = page_of(Role.MONITOR)
    asked = page.context["asked"]
    assert (str(asked.first), str(asked.last), asked.source_class) == ("2027-02-11", "2027-03-10", "monitors")
    chosen = page.context["chosen"].compared
    assert (chosen.events, chosen.reports) == (3, 4)


@pytest.mark.usefixtures("reports")
def test_a_planner_counts_what_a_monitor_may_not_see_and_a_monitor_is_told_nothing_of_it():
    planner, monitor = (page_of(role) for role in (Role.PLANNER, Role.MONITOR))
    assert planner.context["chosen"].compared.events == monitor.context["chosen"].compared.events + 1
    assert "Monitors denied access" in planner.content.decode().replace("<option", "").split('id="trends"')[1]
    assert "Monitors denied access" not in monitor.content.decode().split('id="trends"')[1]


@pytest.mark.usefixtures("reports")
def test_classes_of_source_stand_in_tabs_and_are_never_added():
    page = page_of(Role.MONITOR, "/monitoring/trends/?source_class=media")
    assert page.context["chosen"].compared.events == 1
    assert [(trend.source_class, trend.compared.events) for trend in page.context["classes"]] == [
        ("monitors", 3),
        ("party", 0),
        ("media", 1),
    ]


@pytest.mark.usefixtures("reports")
def test_a_sector_where_nobody_watched_is_named():
    text = re.sub("<[^>]*>", "", page_of(Role.MONITOR).content.decode())
    assert "Where nobody watched" in text
    assert "28 of 28 days" in text


@pytest.mark.usefixtures("reports")
def test_the_same_filters_lead_to_the_file_and_to_the_reports():
    page = page_of(Role.PLANNER, "/monitoring/trends/?occurred_after=2027-03-08&occurred_before=2027-03-10&family=fire")
    text = page.content.decode()
    assert "/api/v1/reports/daily/?occurred_after=2027-03-08&amp;occurred_before=2027-03-10&amp;family=fire" in text
    assert "family=fire" in page.context["question"].address


def test_without_any_report_the_page_says_so():
    page = page_of(Role.MONITOR)
    assert page.status_code == 200
    assert "Nothing in this period" in page.content.decode()


def test_days_long_after_the_last_report_point_back_to_it():
    with acting_as(SYSTEM):
        the_operation()
        a_report(at=NOW - timedelta(days=400))
    rollups.sweep()
    assert "The last day with anything is" in page_of(Role.MONITOR).content.decode()
    assert "the last day with anything is" in page_of(Role.MONITOR, "/").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "occurred_after=x",
        "occurred_after=2027-03-10&occurred_before=2027-03-01",
        "occurred_after=2020-01-01",
        "source_class=all",
        "kind=bang",
        "sector=nowhere",
        "family=air&kind=shot",
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_a_sentence(query):
    page = page_of(Role.MONITOR, f"/monitoring/trends/?{query}")
    assert page.status_code == 200
    assert page.context["form"].errors
    assert "Nothing asked" in page.content.decode()


@pytest.mark.usefixtures("reports")
def test_htmx_gets_the_part_that_changes():
    client = Client(headers={"HX-Request": "true"})
    client.force_login(a_member(Role.MONITOR))
    text = client.get("/monitoring/trends/").content.decode()
    assert text.lstrip().startswith('<div id="trends"')
    assert "<html" not in text


@pytest.mark.usefixtures("reports")
def test_counts_older_than_a_minute_turn_amber():
    with acting_as(SYSTEM):
        Stale.objects.create(kind=rollups.KIND, key="2027-03-10", marked_at=NOW - timedelta(seconds=61))
    assert "as-of--stale" in page_of(Role.MONITOR).content.decode()
    assert page_of(Role.MONITOR, "/monitoring/trends/age/").headers.get("HX-Refresh") is None


@pytest.mark.usefixtures("reports")
def test_the_overview_sets_the_last_whole_day_against_the_day_before():
    page = page_of(Role.MONITOR, "/")
    reported = page.context["reported"]
    assert str(reported["day"]) == "2027-03-10"
    found = {each["trend"].source_class: each["trend"].compared for each in reported["classes"]}
    assert (found["monitors"].events, found["monitors"].before) == (2, 1)
    assert "1 more than 1 the day before" in page.content.decode()
    client = Client()
    client.force_login(a_member(Role.MONITOR))
    link = next(each["href"] for each in reported["classes"] if each["trend"].source_class == "monitors")
    assert len(client.get(link).context["page"].rows) == found["monitors"].reports == 3


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("address", ["/", "/monitoring/trends/", "/monitoring/trends/?source_class=party&family=fire"])
def test_the_pages_cost_few_queries(address, django_assert_max_num_queries):
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    with django_assert_max_num_queries(25):
        assert client.get(address).status_code == 200

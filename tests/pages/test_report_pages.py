"""Reports in pages: who files and who only reads, what a form answers, and that nobody sees a place too exactly."""

from datetime import UTC, date, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.pages import ROWS_PER_PAGE
from monitoring import evidence, filing, placing
from monitoring.models import Evidence, Report
from tests.factories import a_member, a_party, a_report, a_source, an_incident, the_operation

pytestmark = pytest.mark.django_db
MOST_QUERIES = 25
FILES = {Role.MONITOR, Role.PLANNER, Role.ADMINISTRATOR}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(60)
EXACT = (35.86543, 48.52468)


@pytest.fixture(autouse=True)
def _world(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    with acting_as(SYSTEM):
        the_operation()
        a_source(name="Own patrol", reliability="B")
        a_party("ru"), a_party("ua")


def browser(role: str = Role.MONITOR) -> Client:
    client = Client()
    client.force_login(a_member(role), backend="coalition.accounts.EqualWork")
    return client


def the_source() -> int:
    with acting_as(SYSTEM):
        return a_source().pk


def filled_in(**fields) -> dict:
    return {
        "source": the_source(),
        "kind": "explosion",
        "occurred_on": "2025-03-20",
        "time": "14:30",
        "credibility": "6",
        "tier": "2",
        **fields,
    }


def stored() -> list[Report]:
    with acting_as(SYSTEM):
        return list(Report.objects.select_related("source").order_by("pk"))


def the_report(**fields) -> Report:
    """One report with everything that a page shows."""
    with acting_as(SYSTEM):
        report = a_report(
            at=datetime(2025, 3, 20, 12, 30, tzinfo=UTC),
            longitude=EXACT[0],
            latitude=EXACT[1],
            place_precision_m=50,
            place_name="Pavlohrad",
            count_text="30-35",
            count_low=30,
            count_high=35,
            count_unit="explosions",
            accused=a_party("ru"),
            accuser=a_party("ua"),
            weapon="D-30",
            **fields,
        )
        placing.place(report)
        report.save()
        report.refresh_from_db()
        return report


# --- Who may ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_every_member_reads_and_only_monitors_and_planners_file(role, django_assert_max_num_queries):
    report = the_report()
    client = browser(role)
    for page in ("/monitoring/reports/", f"/monitoring/reports/{report.pk}/", "/monitoring/reports/alike/"):
        with django_assert_max_num_queries(MOST_QUERIES):
            assert client.get(page).status_code == 200, page
    expected = 200 if role in FILES else 403
    for page in ("/monitoring/reports/new/", f"/monitoring/reports/{report.pk}/edit/"):
        with django_assert_max_num_queries(MOST_QUERIES):
            assert client.get(page).status_code == expected, page
    may_write = 302 if role in FILES else 403
    assert client.post("/monitoring/reports/new/", filled_in()).status_code == may_write
    edited = client.post(f"/monitoring/reports/{report.pk}/edit/", filled_in(version=report.version))
    assert edited.status_code == may_write, edited.context and edited.context["form"].errors
    for page in ("evidence/", "take-back/"):
        assert client.post(f"/monitoring/reports/{report.pk}/{page}", {"version": "2"}).status_code == may_write


def test_what_one_may_not_see_is_not_found_anywhere():
    hidden = the_report(tier=Tier.PLANNING)
    with acting_as(SYSTEM):
        kept = evidence.attach(hidden.pk, SimpleUploadedFile("a.png", PNG), by=a_member(Role.PLANNER))
    client = browser(Role.MONITOR)
    for page in ("", "edit/", f"evidence/{kept.pk}/"):
        assert client.get(f"/monitoring/reports/{hidden.pk}/{page}").status_code == 404, page
    for page in ("edit/", "evidence/", "take-back/"):
        assert client.post(f"/monitoring/reports/{hidden.pk}/{page}", {"version": "1"}).status_code == 404, page
    assert f">V{hidden.pk}<" not in client.get("/monitoring/reports/").content.decode()


# --- Reading ----------------------------------------------------------------------------------


def test_a_report_shows_the_time_in_utc_as_a_group_and_where_it_happened():
    page = browser().get(f"/monitoring/reports/{the_report().pk}/").content.decode()
    for shown in ("2025-03-20 12:30 UTC", "201230ZMAR25", "2025-03-20 14:30 EET", "36U YU", "48.52", "30–35", "D-30"):
        assert shown in page, shown


def test_what_the_agreements_say_stands_once_on_the_page():
    page = browser().get(f"/monitoring/reports/{the_report().pk}/").content.decode()
    assert page.count('id="coverage-title"') == 1


def test_a_day_stays_the_day_that_was_stated():
    client = browser()
    client.post("/monitoring/reports/new/", filled_in(time=""))
    [report] = stored()
    assert report.occurred_on == date(2025, 3, 20)
    for page in ("/monitoring/reports/", f"/monitoring/reports/{report.pk}/"):
        assert "2025-03-20" in client.get(page).content.decode()
        assert (
            "V"
            in client.get("/monitoring/reports/?occurred_after=2025-03-20&occurred_before=2025-03-20").content.decode()
        )
    assert "No report fits" in client.get("/monitoring/reports/?occurred_after=2025-03-21").content.decode()


def test_a_sensitive_place_is_shown_exactly_to_planners_alone_on_every_page():
    report = the_report(sensitive=True, original={"lat": "48.52468", "place": "Pavlohrad"})
    with acting_as(SYSTEM):
        Report.objects.filter(pk=report.pk).update(longitude=35.87654, weapon="2S1")
        Report.objects.filter(pk=report.pk).update(longitude=EXACT[0])
    pages = [f"/monitoring/reports/{report.pk}/", f"/monitoring/reports/{report.pk}/edit/", "/monitoring/reports/"]
    planner, monitor = browser(Role.PLANNER), browser(Role.MONITOR)
    exact = "36U YU"
    for page in pages:
        told = monitor.get(page).content.decode()
        for secret in ("48.5246", "35.8654", "35.8765", "Pavlohrad", "48.52468"):
            assert secret not in told, (page, secret)
        assert "2S1" in told
    shown = planner.get(pages[0]).content.decode()
    assert "Pavlohrad" in shown
    assert exact in shown
    assert "coarse" in monitor.get(pages[0]).content.decode()


def test_searching_and_boxes_tell_nothing_of_a_sensitive_place():
    the_report(sensitive=True)
    monitor, planner = browser(Role.MONITOR), browser(Role.PLANNER)
    tight = f"/monitoring/reports/?bbox={EXACT[0] - 0.0005},{EXACT[1] - 0.0005},{EXACT[0] + 0.0005},{EXACT[1] + 0.0005}"
    for page in (tight, "/monitoring/reports/?q=Pavlohrad"):
        assert "No report fits" in monitor.get(page).content.decode()
        assert "No report fits" not in planner.get(page).content.decode()


def test_a_hidden_incident_is_no_incident():
    with acting_as(SYSTEM):
        incident = an_incident("Strike that is being looked into", tier=Tier.PLANNING, occurrence="corroborated")
    report = the_report(incident=incident)
    page = f"/monitoring/reports/{report.pk}/"
    assert "being looked into" not in browser(Role.MONITOR).get(page).content.decode()
    assert "Corroborated" not in browser(Role.MONITOR).get("/monitoring/reports/").content.decode().split("<tbody>")[1]
    assert "being looked into" in browser(Role.PLANNER).get(page).content.decode()


def test_a_duplicate_is_shown_with_what_it_repeats_and_not_hidden():
    first = the_report()
    second = the_report(status="duplicate", duplicate_of=first)
    client = browser()
    assert f"V{first.pk}" in client.get(f"/monitoring/reports/{second.pk}/").content.decode()
    assert f"V{second.pk}" in client.get(f"/monitoring/reports/{first.pk}/").content.decode()
    assert f"V{second.pk}" in client.get("/monitoring/reports/").content.decode()


def test_the_list_goes_on_by_key_and_back_again():
    with acting_as(SYSTEM):
        for minute in range(ROWS_PER_PAGE + 5):
            a_report(at=datetime(2025, 3, 20, 12, minute % 60, tzinfo=UTC))
    client = browser()
    first = client.get("/monitoring/reports/?kind=explosion")
    assert len(first.context["rows"]) == ROWS_PER_PAGE
    second = client.get(first.context["page"].next)
    assert len(second.context["rows"]) == 5
    assert second.context["page"].next == ""
    back = client.get(second.context["page"].previous)
    assert [row[0].pk for row in back.context["rows"]] == [row[0].pk for row in first.context["rows"]]
    assert f"{ROWS_PER_PAGE + 5} reports" in first.content.decode()
    assert len(client.get("/monitoring/reports/?cursor=nonsense").context["rows"]) == ROWS_PER_PAGE


def test_a_long_list_is_not_counted(monkeypatch):
    monkeypatch.setattr("coalition.pages.MOST_COUNTED", 60)
    monkeypatch.setattr("monitoring.views.reports.MOST_COUNTED", 60)
    with acting_as(SYSTEM):
        for minute in range(65):
            a_report(at=datetime(2025, 3, 20, 12, minute % 60, tzinfo=UTC))
    assert "More than 60 reports" in browser().get("/monitoring/reports/").content.decode()


def test_a_filter_that_cannot_be_read_says_so_and_shows_nothing():
    the_report()
    page = browser().get("/monitoring/reports/?bbox=1,2,3").content.decode()
    assert "west,south,east,north" in page
    assert "D-30" not in page


def test_the_number_of_queries_does_not_grow_with_the_rows(django_assert_num_queries):
    client = browser()
    for number in range(3):
        the_report(reference=str(number))
    client.get("/monitoring/reports/")
    with CaptureQueriesContext(connection) as few:
        client.get("/monitoring/reports/")
    for number in range(20):
        the_report(reference=f"more {number}")
    with django_assert_num_queries(len(few)):
        client.get("/monitoring/reports/")


# --- Filing -----------------------------------------------------------------------------------


def test_saved_twice_over_a_bad_line_is_one_report():
    client = browser()
    answers = [client.post("/monitoring/reports/new/", filled_in(idempotency_key="k")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert len(stored()) == 1


@pytest.mark.parametrize(
    "spelling", [{"place": "48.4567, 35.2345"}, {"dms": "48°27′24″N 35°14′04″E"}, {"mgrs": "36UXU65236937"}]
)
def test_without_the_map_any_spelling_of_a_place_will_do(spelling):
    assert browser().post("/monitoring/reports/new/", filled_in(**spelling)).status_code == 302
    assert stored()[0].longitude == pytest.approx(35.2345, abs=0.01)


def test_what_is_probably_a_slip_is_asked_about_and_filed_once_confirmed():
    client = browser()
    asked = client.post("/monitoring/reports/new/", filled_in(place="10.5, -66.9"))
    assert asked.status_code == 422
    assert "outside the area" in asked.content.decode()
    assert stored() == []
    assert 'value="outside_theatre"' in asked.content.decode()
    confirmed = client.post("/monitoring/reports/new/", filled_in(place="10.5, -66.9", confirmed="outside_theatre"))
    assert confirmed.status_code == 302
    assert len(stored()) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", ""),
        ("source", "999999999999999999999"),
        ("kind", "thunder"),
        ("occurred_on", "2025-02-30"),
        ("occurred_on", "9999-12-31"),
        ("time", "25:00"),
        ("time", "a\0"),
        ("zone", "Mars/Base"),
        ("place", "<script>alert(1)</script>"),
        ("place_precision_m", "NaN"),
        ("place_precision_m", "1e400"),
        ("count_low", "-1"),
        ("count_high", "5"),
        ("killed", "many"),
        ("weapon", "x" * 500),
        ("narrative", "x" * 9000),
        ("source_url", "javascript:alert(1)"),
        ("tier", "3"),
        ("reliability", "Z"),
        ("credibility", "0"),
        ("accused", "999999"),
    ],
)
def test_bad_input_comes_back_with_the_form_and_a_sentence(field, value):
    answer = browser().post("/monitoring/reports/new/", filled_in(**{field: value}))
    assert answer.status_code == 422
    assert "Nothing was saved" in answer.content.decode()
    assert stored() == []


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
    "'; DROP TABLE x; --",
    "\u202e=1+1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text):
    client = browser()
    fields = {"weapon": text, "narrative": text, "place_name": text, "reference": text, "count_text": text}
    assert client.post("/monitoring/reports/new/", filled_in(**fields)).status_code == 302
    [report] = stored()
    assert report.narrative == text
    for page in (f"/monitoring/reports/{report.pk}/", "/monitoring/reports/", f"/monitoring/reports/{report.pk}/edit/"):
        told = client.get(page).content.decode()
        assert "<script>alert" not in told
        assert "<img src=x" not in told
        assert ">49<" not in told


def test_files_are_sent_with_the_report_and_a_bad_one_keeps_all_from_being_filed():
    client = browser()
    good, bad = SimpleUploadedFile("crater.png", PNG), SimpleUploadedFile("page.png", b"<html><script>")
    answer = client.post("/monitoring/reports/new/", filled_in(files=[good, bad]))
    assert answer.status_code == 422
    assert "not kept" in answer.content.decode()
    assert stored() == []
    good.seek(0)
    assert client.post("/monitoring/reports/new/", filled_in(files=[good])).status_code == 302
    with acting_as(SYSTEM):
        assert Evidence.objects.get().file_name == "crater.png"


def test_a_file_comes_as_an_attachment_and_never_as_a_page():
    report, client = the_report(), browser()
    client.post(
        f"/monitoring/reports/{report.pk}/evidence/",
        {"files": [SimpleUploadedFile('a"; filename="x.html', b"just text\n", content_type="text/html")]},
    )
    with acting_as(SYSTEM):
        kept = Evidence.objects.get()
    answer = browser(Role.ANALYST).get(f"/monitoring/reports/{report.pk}/evidence/{kept.pk}/")
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert b"".join(answer.streaming_content) == b"just text\n"


def test_a_file_with_a_refused_type_leaves_what_was_there():
    report, client = the_report(), browser()
    files = [SimpleUploadedFile("a.png", PNG), SimpleUploadedFile("b.png", b"<svg/>")]
    page = client.post(f"/monitoring/reports/{report.pk}/evidence/", {"files": files}, follow=True)
    assert "not kept" in page.content.decode()
    with acting_as(SYSTEM):
        assert not Evidence.objects.exists()


# --- Changing ---------------------------------------------------------------------------------


def as_it_stands(client: Client, report: Report) -> dict:
    """What the browser would send back from the edit page if nothing were changed."""
    form = client.get(f"/monitoring/reports/{report.pk}/edit/").context["form"]
    values = {name: form[name].value() for name in form.fields if name not in ("confirmed", "why")}
    return {name: value for name, value in values.items() if value not in (None, False, "")}


def test_saving_the_edit_page_untouched_changes_nothing_of_the_report():
    report = the_report(sensitive=True)
    client = browser()
    assert client.post(f"/monitoring/reports/{report.pk}/edit/", as_it_stands(client, report)).status_code == 302
    [kept] = stored()
    assert kept.version == report.version
    assert (kept.longitude, kept.latitude, kept.place_name) == (*EXACT, "Pavlohrad")


def test_one_changed_field_is_one_change_in_the_history():
    report, client = the_report(), browser()
    client.post(
        f"/monitoring/reports/{report.pk}/edit/", as_it_stands(client, report) | {"weapon": "2S1", "why": "Misread"}
    )
    page = client.get(f"/monitoring/reports/{report.pk}/")
    change = page.context["changes"][0]
    assert [field.label for field in change.fields] == ["Weapon"]
    assert change.why == "Misread"


def test_a_change_without_a_version_is_428_and_a_stale_one_412_with_both_versions():
    report, client = the_report(), browser()
    sent = as_it_stands(client, report)
    filing.revise(report.pk, {"weapon": "2S1"}, by=a_member(Role.MONITOR), based_on=None)
    address = f"/monitoring/reports/{report.pk}/edit/"
    assert client.post(address, {name: value for name, value in sent.items() if name != "version"}).status_code == 428
    page = client.post(address, sent | {"weapon": "D-20"})
    assert page.status_code == 412
    differing = {row["label"]: (row["now"], row["yours"]) for row in page.context["conflict"]["rows"] if row["differs"]}
    assert differing == {"Weapon": ("2S1", "D-20")}
    version = page.context["form"]["version"].value()
    assert client.post(address, sent | {"weapon": "D-20", "version": version}).status_code == 302
    assert stored()[0].weapon == "D-20"


def test_the_last_change_is_taken_back_from_the_page():
    report, client = the_report(), browser()
    changed = filing.revise(report.pk, {"weapon": "2S1"}, by=a_member(Role.MONITOR), based_on=None)
    client.post(f"/monitoring/reports/{report.pk}/take-back/", {"version": changed.version})
    assert stored()[0].weapon == "D-30"


# --- While it is typed ------------------------------------------------------------------------


def test_reports_of_the_same_event_are_shown_while_one_types():
    report = the_report()
    asked = {"kind": "explosion", "occurred_on": "2025-03-20", "time": "14:40", "place": "48.525, 35.865"}
    assert f"V{report.pk}" in browser().get("/monitoring/reports/alike/", asked).content.decode()
    far = browser().get("/monitoring/reports/alike/", asked | {"place": "50.45, 30.52"}).content.decode()
    assert f"V{report.pk}" not in far


@pytest.mark.parametrize(
    "asked",
    [{"occurred_on": "x"}, {"place": "\x01"}, {"place_precision_m": "²"}, {"source": "9" * 30}, {"time": "9" * 99}],
)
def test_nonsense_while_one_types_suggests_nothing_and_breaks_nothing(asked):
    assert browser().get("/monitoring/reports/alike/", asked).status_code == 200

"""What goes out as csv or xlsx and comes back as it was changes nothing; what was corrected on the way is a change."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from coalition import jobs
from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.imports import staging
from coalition.models import ImportBatch, ImportRow
from coalition.rows import as_given, safe_cell
from monitoring.kinds import CountUnit, Facility, Kind
from monitoring.models import Report
from monitoring.placing import place
from pledges.models import Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_party,
    a_pledge,
    a_report,
    a_source,
    the_operation,
)

pytestmark = pytest.mark.django_db
ODD = [
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "'=1+1", "''=2", "'quoted'", "-7", "＝1", "\t=1",
    "comma, semicolon; \"quote\"", "two\nlines", "two\r\nlines", "Запоріжжя, 5 км на схід", "地雷", "é – “x”", "NULL", "N/A",
    "none", "0", "1e5", "2025-03-20", "TRUE", "#REF!", "\\N", "a\\", "  inner  blanks  ", "x" * 300,
]  # fmt: skip
FORMATS = ["csv", "xlsx"]


@given(st.text(alphabet="'=+-@＝ \t\r\n\u00a07.a", max_size=8))
def test_whoever_takes_the_apostrophe_away_has_the_text_as_it_was_given(text):
    assert as_given(safe_cell(text)) == text


def exported(user, name: str, kind: str) -> bytes:
    client = Client()
    client.force_login(user)
    answer = client.get(f"/api/v1/{name}/?format={kind}")
    assert answer.status_code == 200
    return answer.getvalue()


def tried(user, content: bytes, profile: str, kind: str) -> ImportBatch:
    """The batch after a dry run, with the mapping that was proposed."""
    with acting_as(user):
        file = SimpleUploadedFile(f"export.{kind}", content)
        batch = staging.upload(file, profile=profile, operation=the_operation(), dataset=profile, by=user)
    batch = done(batch)
    with acting_as(user):
        staging.arrange(batch.pk, staging.proposed(batch, by=user), by=user, based_on=batch.version)
    return done(batch)


def done(batch: ImportBatch) -> ImportBatch:
    with acting_as(SYSTEM):
        batch.refresh_from_db()
    jobs.work(batch.job_id)
    with acting_as(SYSTEM):
        return ImportBatch.objects.select_related("job").get(pk=batch.pk)


def counts(batch: ImportBatch) -> dict[str, int]:
    problems = ImportRow.objects.filter(batch=batch, outcome="rejected").values_list("number", "problems")
    with acting_as(SYSTEM):
        assert not staging.trouble(batch), staging.trouble(batch)
        assert list(problems) == []
    return {name: n for name, n in batch.counts.items() if name in ("new", "changed", "same", "rejected")}


@pytest.fixture
def reports(monkeypatch):
    """Reports with all that is odd, and the planner who sees all of it."""
    monkeypatch.setattr(jobs, "BEAT_S", 3600.0)
    with acting_as(SYSTEM):
        the_operation()
        party, source = a_party(), a_source()
        at = datetime(2025, 3, 19, 22, tzinfo=UTC)
        for number, text in enumerate(ODD):
            a_report(
                list(Kind.values)[number % len(Kind.values)],
                at,
                narrative=text,
                weapon=text[:100],
                reference=text[:60],
                place_name=text,
                dataset=("", "osce")[number % 2],
                external_id=("", str(number))[number % 2],
                reliability="ABCDEF"[number % 6],
                credibility=number % 6 + 1,
            )
        for unit in CountUnit.values:
            a_report(
                at=at,
                count_text="30-35",
                count_low=30,
                count_high=35,
                count_unit=unit,
                accused=party,
                killed=0,
                injured=3,
            )
        for kind in Kind.values:
            a_report(kind, at, count_text="several", means="heard", accuser=party)
        a_report(at=at, count_unit="shots")
        for facility in Facility.values:
            a_report(at=at, facility_class=facility, count_low=2, count_high=2, count_unit="explosions")
        whole_day = {
            "occurred_until": at + timedelta(days=1) - timedelta(microseconds=1),
            "occurred_on": date(2025, 3, 20),
        }
        a_report(at=at, time_precision="day", **whole_day)
        a_report(at=at, time_precision="part_of_day", **whole_day)
        a_report(at=at + timedelta(microseconds=123456))
        exact = [(35.2345678901234, 48.1), (1 / 3 + 30, 50.0), (37.0, 1 / 7 + 48)]
        for number, (longitude, latitude) in enumerate(exact * 2):
            report = a_report(at=at, sensitive=number > 2, place_name="Avdiivka", tier=list(Tier)[number % 3])
            report.longitude, report.latitude, report.place_precision_m = longitude, latitude, 50 + number / 3
            place(report)
            report.save()
        planner, monitor = a_member(Role.PLANNER), a_member(Role.MONITOR)
        assert source
    return planner, monitor


@pytest.mark.parametrize("kind", FORMATS)
def test_exported_reports_come_back_all_the_same(reports, kind):
    for user in reports:
        with acting_as(user):
            seen = Report.objects.visible_to(user).count()
        batch = tried(user, exported(user, "reports", kind), "own-reports", kind)
        assert counts(batch) == {"same": seen}
        with acting_as(user):
            staging.cancel(batch.pk, by=user)


def with_cell(content: bytes, column: str, change) -> bytes:
    """The file with one column of its rows changed."""
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    for row in rows:
        row[column] = change(row)
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def test_a_correction_in_the_file_changes_its_report_and_nothing_else_and_can_be_undone(reports):
    planner, _ = reports
    with acting_as(SYSTEM):
        one = Report.objects.get(external_id="1")
        before = Report.objects.filter(pk=one.pk).values().get()
    content = with_cell(
        exported(planner, "reports", "csv"),
        "killed",
        lambda row: "4" if row["id"] == str(one.pk) else row["killed"],
    )
    batch = tried(planner, content, "own-reports", "csv")
    assert counts(batch)["changed"] == 1
    with acting_as(planner):
        staging.commit(batch.pk, by=planner, based_on=batch.version)
    batch = done(batch)
    with acting_as(SYSTEM):
        now = Report.objects.filter(pk=one.pk).values().get()
    told = {name for name in now if now[name] != before[name]}
    assert (told, now["killed"]) == ({"killed", "version", "changed_at", "changed_xid"} - same_xid(before, now), 4)
    with acting_as(planner):
        staging.undo(batch.pk, by=planner, based_on=batch.version)
    done(batch)
    with acting_as(SYSTEM):
        assert Report.objects.get(pk=one.pk).killed is None


def same_xid(before: dict, now: dict) -> set[str]:
    """A test is one transaction, which is all that changed_at and changed_xid tell."""
    return {name for name in ("changed_at", "changed_xid") if before[name] == now[name]}


def test_a_sensitive_place_that_a_monitor_sees_coarsely_is_not_moved_by_their_file(reports):
    _, monitor = reports
    with acting_as(SYSTEM):
        exact = dict(Report.objects.filter(sensitive=True).values_list("pk", "longitude"))
    content = with_cell(
        exported(monitor, "reports", "csv"),
        "longitude",
        lambda row: row["longitude"] and f"{float(row['longitude']):.1f}",
    )
    content = with_cell(content, "killed", lambda row: "2")
    batch = tried(monitor, content, "own-reports", "csv")
    with acting_as(monitor):
        staging.commit(batch.pk, by=monitor, based_on=batch.version)
    assert done(batch).state == ImportBatch.State.COMMITTED
    with acting_as(SYSTEM):
        assert dict(Report.objects.filter(sensitive=True).values_list("pk", "longitude")) == exact
        assert Report.objects.filter(sensitive=True, killed=2).exists()


def test_a_number_that_is_not_here_or_not_to_be_seen_is_refused_in_the_same_words(reports):
    _, monitor = reports
    with acting_as(SYSTEM):
        hidden = Report.objects.filter(tier=Tier.PLANNING).first()
        source = hidden.source.code
    rows = [f"{number},2025-03-20,{source}" for number in (hidden.pk, 10**17, "x", "")]
    batch = tried(monitor, "\n".join(["id,occurred_from,source", *rows]).encode(), "own-reports", "csv")
    with acting_as(SYSTEM):
        said = [row.problems[0]["reason"] for row in ImportRow.objects.filter(batch=batch)]
    assert said == ["There is no report of this number that you may see."] * 4


@pytest.fixture
def pledges(monkeypatch):
    """Pledges with all that is odd, on every step, and the planner who sees all of it."""
    monkeypatch.setattr(jobs, "BEAT_S", 3600.0)
    with acting_as(SYSTEM):
        a_capability("drones", unit="UAV flight-hours a month")
        gates = [a_condition("Mandate; renewed"), a_condition("=Parliament")]
        for number, text in enumerate(ODD):
            pledge = a_pledge(
                [None, 12.5, Decimal("0.1")][number % 3],
                what=text.strip(),
                note=text.strip(),
                source=text.strip()[:250],
                status=Pledge.ON_LADDER[number % len(Pledge.ON_LADDER)],
                tier=list(Tier)[number % 3],
                dataset=("", "nations")[number % 2],
                external_id=("", str(number))[number % 2],
                notice_days=number,
            )
            pledge.conditions.set(gates[: number % 3])
        a_pledge(None, stated_low=Decimal("100"), stated_high=Decimal("1234567.89"))
        a_pledge(5, available_from=date(2027, 3, 1), available_until=date(2027, 9, 30), stated_on=date(2025, 3, 6))
        a_pledge(7, nation="GB", what="Theirs")
        return a_member(Role.PLANNER), a_member(Role.OFFICER)


@pytest.mark.parametrize("kind", FORMATS)
def test_exported_pledges_come_back_all_the_same(pledges, kind):
    for user in pledges:
        with acting_as(user):
            seen = Pledge.objects.visible_to(user).count()
        batch = tried(user, exported(user, "pledges", kind), "own-pledges", kind)
        assert counts(batch) == {"same": seen}


def test_a_corrected_pledge_comes_back_changed_and_can_be_undone(pledges):
    planner, _ = pledges
    content = with_cell(
        exported(planner, "pledges", "csv"), "what", lambda row: row["what"] if row["what"] != "0" else "=9"
    )
    batch = tried(planner, content, "own-pledges", "csv")
    assert counts(batch)["changed"] == 1
    with acting_as(planner):
        staging.commit(batch.pk, by=planner, based_on=batch.version)
    batch = done(batch)
    with acting_as(planner):
        [changed] = Pledge.objects.filter(what="=9")
        assert (changed.dataset, changed.batch) != ("own-pledges", batch)
        staging.undo(batch.pk, by=planner, based_on=batch.version)
    done(batch)
    with acting_as(planner):
        assert Pledge.objects.get(pk=changed.pk).what == "0"


def test_an_officer_changes_no_pledge_of_another_nation_by_a_file(pledges):
    _, officer = pledges
    content = with_cell(exported(officer, "pledges", "csv"), "what", lambda row: row["what"].replace("Theirs", "Ours"))
    batch = tried(officer, content, "own-pledges", "csv")
    with acting_as(SYSTEM):
        [row] = ImportRow.objects.filter(batch=batch).exclude(outcome="same")
    assert (row.outcome, "your own nation only" in row.problems[0]["reason"]) == ("rejected", True)

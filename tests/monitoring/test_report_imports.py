"""What becomes of files of reports: each row once, every rejected one named, all of it committed or nothing, and undone."""

import json
from datetime import date
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from coalition import jobs, stale
from coalition.access import Role, Tier, acting_as
from coalition.imports import staging
from coalition.imports.profiles import NotAsTried
from coalition.imports.staging import State, phase
from coalition.models import ImportBatch, ImportRow, Tombstone
from monitoring import importing, judging, merging, triage
from monitoring.models import Evidence, Incident, Party, Report, Source, StagedReport
from tests.factories import a_member, the_operation

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parent.parent / "data"
HEADER = "external_id,occurred_from,kind,latitude,longitude,place_precision_m,source,accused,count,killed,narrative\n"
ROWS = [
    "A1,2025-03-20T09:45Z,explosion,48.14,37.75,500,Patrol,A,30-35,0,Heard twice\n",
    'A2,2025-03-20,burst,48.20,37.80,500,Patrol,B,several,,"Seen, then heard"\n',
    "A3,2025-03-21,shot,48.30,37.90,500,Patrol,,N/K,1,\n",
]
SAMPLE = HEADER + "".join(ROWS)


@pytest.fixture
def monitor(monkeypatch):
    monkeypatch.setattr(jobs, "BEAT_S", 3600.0)  # the heart beats on another connection, which sees nothing of a test's
    user = a_member(Role.MONITOR)
    with acting_as(user):
        the_operation()
        for code in ("a", "b"):
            Party.objects.create(code=code, name=f"Party {code.upper()}")
        Party.objects.create(code="russia", name="Russia")
        Party.objects.create(code="ukraine", name="Ukraine")
        Source.objects.create(code="patrol", name="Patrol", source_class="monitors", reliability="B")
        yield user


def done(batch: ImportBatch) -> ImportBatch:
    """The batch after a worker did its job."""
    assert jobs.work(batch.job_id)
    return ImportBatch.objects.select_related("job").get(pk=batch.pk)


def sent(by, content: str | bytes = SAMPLE, *, profile="reports", name="reports.csv", dataset="ours") -> ImportBatch:
    file = SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)
    return done(staging.upload(file, profile=profile, operation=the_operation(), dataset=dataset, by=by))


def tried(by, content=SAMPLE, **kwargs) -> ImportBatch:
    batch = sent(by, content, **kwargs)
    assert phase(batch) == State.READ, batch.error
    return done(staging.arrange(batch.pk, staging.proposed(batch, by=by), by=by, based_on=batch.version))


def committed(by, content=SAMPLE, **kwargs) -> ImportBatch:
    batch = tried(by, content, **kwargs)
    return done(staging.commit(batch.pk, by=by, based_on=batch.version))


def undone(batch: ImportBatch, by, also=()) -> ImportBatch:
    return done(staging.undo(batch.pk, also=also, by=by, based_on=batch.version))


def counts(batch: ImportBatch) -> dict[str, int]:
    return {name: n for name, n in batch.counts.items() if name in ("new", "changed", "same", "rejected")}


def reasons(batch: ImportBatch) -> dict[int, str]:
    rejected = ImportRow.objects.filter(batch=batch, outcome="rejected")
    return {each.number: f"{each.problems[0]['column']}: {each.problems[0]['reason']}" for each in rejected}


def report(external_id: str) -> Report:
    return Report.objects.get(external_id=external_id)


# --- Once, and the second time


def test_new_rows_become_reports_with_all_they_say(monitor):
    batch = committed(monitor)
    assert (phase(batch), batch.counts["committed"]) == (State.COMMITTED, {"new": 3})
    first = report("A1")
    assert (first.count_text, first.count_low, first.count_high, first.count_unit) == ("30-35", 30, 35, "explosions")
    assert (first.killed, first.injured, first.accused.code, first.reliability) == (0, None, "a", "B")
    assert (first.cell is not None, first.batch, first.filed_by, first.tier) == (True, batch, monitor, Tier.COALITION)
    assert first.original["narrative"] == "Heard twice"
    second = report("A2")
    assert (second.count_low, second.count_text, second.occurred_on) == (None, "several", date(2025, 3, 20))
    assert second.narrative == "Seen, then heard"


def test_the_same_file_again_changes_nothing(monitor):
    committed(monitor)
    before = list(Report.objects.order_by("pk").values("pk", "version", "changed_xid"))
    again = tried(monitor)
    assert counts(again) == {"same": 3}
    with pytest.raises(staging.WrongMoment):
        staging.commit(again.pk, by=monitor, based_on=again.version)
    assert list(Report.objects.order_by("pk").values("pk", "version", "changed_xid")) == before


def test_an_update_under_the_same_id_is_a_change_and_names_the_fields(monitor):
    committed(monitor)
    new = SAMPLE.replace("30-35", "40").replace("Heard twice", "Heard thrice")
    batch = tried(monitor, new)
    assert counts(batch) == {"changed": 1, "same": 2}
    [row] = staging.shown(batch, "changed", by=monitor)[:]
    assert ["Narrative", "Heard twice", "Heard thrice"] in row.values["changes"]
    done(staging.commit(batch.pk, by=monitor, based_on=batch.version))
    assert (report("A1").count_low, report("A1").narrative, report("A1").version) == (40, "Heard thrice", 2)
    assert counts(tried(monitor, new)) == {"same": 3}


def test_what_people_changed_here_stays_theirs_unless_the_file_changes_it_too(monitor):
    committed(monitor)
    edited = report("A1")
    edited.weapon, edited.count_text, edited.count_low, edited.count_high = "120mm mortar", "7", 7, 7
    edited.save()
    assert counts(tried(monitor)) == {"same": 3}
    batch = committed(monitor, SAMPLE.replace("Heard twice", "Heard thrice"))
    assert batch.counts["committed"] == {"changed": 1}
    now = report("A1")
    assert (now.narrative, now.weapon, now.count_low) == ("Heard thrice", "120mm mortar", 7)


def test_rows_without_an_id_are_told_apart_by_their_number_among_equals(monitor):
    content = "occurred_from,kind,source\n" + "2025-03-20,shot,Patrol\n" * 3 + "2025-03-21,shot,Patrol\n"
    assert committed(monitor, content).counts["committed"] == {"new": 4}
    assert counts(tried(monitor, content)) == {"same": 4}
    assert counts(tried(monitor, content + "2025-03-20,shot,Patrol\n")) == {"same": 4, "new": 1}


def test_an_id_twice_with_different_content_is_rejected_everywhere_and_named(monitor):
    batch = tried(monitor, SAMPLE + ROWS[0].replace("30-35", "31") + ROWS[1])
    assert counts(batch) == {"new": 2, "same": 1, "rejected": 2}
    reason = "external_id: This id stands in rows 2, 5 with different content; none is taken."
    assert reasons(batch) == {2: reason, 5: reason}
    [same] = staging.shown(batch, "same", by=monitor)[:]
    assert same.problems[0]["reason"] == "It says exactly what row 3 says; counted once."


def test_every_rejected_row_is_named_with_column_and_reason(monitor):
    bad = [
        "B1,2027-01-01,shot,48.1,37.7,500,Patrol,,1,,still to come\n",
        "B2,2025-03-20,shot,37.7,48.1,500,Patrol,,1,,swapped\n",
        "B3,2025-03-20,shot,NaN,37.7,500,Patrol,,1,,no number\n",
        "B4,2025-03-20,dance,48.1,37.7,500,Patrol,,1,,no kind\n",
        "B5,2025-03-20,shot,48.1,37.7,500,Neighbour,,1,,no source\n",
        "B6,,shot,48.1,37.7,500,Patrol,,1,,no time\n",
        "B7,2025-03-20,shot,48.1,37.7,500,Patrol,,9-3,,backwards\n",
        "B8,2025-03-20,shot,48.1,37.7,500,Patrol,,1,,too,many,cells\n",
    ]
    batch = tried(monitor, SAMPLE + "".join(bad))
    assert counts(batch) == {"new": 3, "rejected": 8}
    found = reasons(batch)
    assert list(found) == list(range(5, 13))
    for number, (name, part) in enumerate(
        [
            ("occurred_from", "still to come"),
            ("longitude", "look swapped"),
            ("latitude", "not a number"),
            ("kind", "no kind"),
            ("source", "no source"),
            ("occurred_from", "does not say when"),
            ("count", "begins with the larger"),
            ("", "the header has 11"),
        ],
        5,
    ):
        assert found[number].startswith(f"{name}: "), found[number]
        assert part in found[number]


# --- All or nothing


def test_a_row_that_is_not_approved_is_not_written(monitor):
    batch = tried(monitor)
    rows = staging.shown(batch, "new", by=monitor)[:]
    shown = [row.pk for row in rows]
    batch = staging.tick(batch.pk, shown=shown, approved=shown[1:], offers=[], by=monitor, based_on=batch.version)
    assert done(staging.commit(batch.pk, by=monitor, based_on=batch.version)).counts["committed"] == {"new": 2}
    assert not Report.objects.filter(external_id="A1").exists()


def test_the_same_file_tried_twice_at_once_is_committed_once(monitor):
    other = a_member(Role.MONITOR, username="another")
    mine = tried(monitor)
    with acting_as(other):
        theirs = tried(other)
        done(staging.commit(theirs.pk, by=other, based_on=theirs.version))
    late = done(staging.commit(mine.pk, by=monitor, based_on=mine.version))
    assert phase(late) == State.TRIED
    assert "Nothing was committed. Row 2: It was imported by somebody else since it was tried." in late.error
    assert Report.objects.count() == 3


def test_a_report_changed_since_the_dry_run_stops_the_whole_commit(monitor):
    committed(monitor)
    batch = tried(monitor, SAMPLE.replace("Heard twice", "Heard thrice") + ROWS[0].replace("A1", "A9"))
    edited = report("A1")
    edited.weapon = "120mm mortar"
    edited.save()
    late = done(staging.commit(batch.pk, by=monitor, based_on=batch.version))
    assert "Row 2: It was changed since it was tried." in late.error
    assert not Report.objects.filter(external_id="A9").exists()


def test_what_is_no_longer_staged_is_not_taken_for_nothing_to_do(monitor):
    batch = tried(monitor)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_stagedreport")  # as after a crash of the database
    with pytest.raises(NotAsTried, match="Try the rows again"):
        importing.ReportProfile.write(staging.profile_of(batch), batch, by=monitor, progress=print)


def test_a_commit_that_is_cancelled_leaves_nothing(monitor, monkeypatch):
    batch = tried(monitor)
    batch = staging.commit(batch.pk, by=monitor, based_on=batch.version)

    def cancelled(work, done, total=None):
        if done:
            raise jobs.JobLost

    monkeypatch.setattr(jobs.Work, "progress", cancelled)
    assert jobs.work(batch.job_id)
    assert Report.objects.count() == 0
    assert StagedReport.objects.filter(batch=batch).count() == 3


def test_a_job_that_comes_twice_writes_once(monitor):
    batch = tried(monitor)
    batch = staging.commit(batch.pk, by=monitor, based_on=batch.version)
    assert jobs.work(batch.job_id)
    assert not jobs.work(batch.job_id)
    assert Report.objects.count() == 3


def test_a_commit_marks_what_must_be_counted_anew(monitor):
    before = stale.waiting("counts").keys
    committed(monitor)
    assert stale.waiting("counts").keys > before


# --- Undo


def test_undo_takes_back_what_was_new_and_leaves_tombstones(monitor):
    batch = undone(committed(monitor), monitor)
    assert (phase(batch), batch.counts["taken_back"], batch.counts["left"]) == (State.UNDONE, 3, 0)
    assert Report.objects.count() == 0
    assert Tombstone.objects.filter(kind="monitoring_report").count() == 3


def test_undo_puts_back_what_was_changed(monitor):
    first = committed(monitor)
    second = committed(monitor, SAMPLE.replace("30-35", "40"))
    undone(second, monitor)
    assert (report("A1").count_low, report("A1").batch) == (30, first)
    assert counts(tried(monitor)) == {"same": 3}


def test_undo_lists_what_was_touched_and_leaves_it_unless_chosen(monitor):
    batch = committed(monitor)
    edited, seen = report("A1"), report("A2")
    edited.weapon = "120mm mortar"
    edited.save()
    Evidence.objects.create(report=seen, file="x", file_name="x", content_type="image/png", size=1, sha256="0" * 64)
    why = {row.target_id: reason for row, reason in staging.touched(batch, by=monitor)}
    assert why == {
        edited.pk: "It was changed since: version 2, committed as 1.",
        seen.pk: "Evidence was added to it since.",
    }
    batch = undone(batch, monitor, also=[seen.pk])
    assert (batch.counts["taken_back"], batch.counts["left"]) == (2, 1)
    assert list(Report.objects.values_list("external_id", flat=True)) == ["A1"]


def merged(by, *external_ids: str) -> Incident:
    return merging.open_incident({report(name).pk: None for name in external_ids}, by=by)


def test_an_incident_that_was_nothing_but_its_reports_is_gone_with_the_last_of_them(monitor):
    batch = committed(monitor)
    incident = merged(monitor, "A1", "A2")
    everything = list(Report.objects.values_list("pk", flat=True))
    undone(batch, monitor, also=everything)
    assert not Report.objects.exists()
    assert not Incident.objects.exists()
    assert Tombstone.objects.filter(kind="monitoring_incident", object_id=str(incident.pk)).exists()
    event = Incident.pgh_event_model.objects.filter(pgh_obj_id=incident.pk).latest("pgh_id")
    assert event.pgh_context["why"] == f"Import {batch.pk} was undone: reports of it are gone."


def test_an_incident_that_keeps_a_report_or_a_judgement_stays_and_says_what_it_lost(monitor):
    batch = committed(monitor)
    judged, other = merged(monitor, "A1"), merged(monitor, "A2", "A3")
    found = {"finding": "violation", "finding_confidence": "low", "finding_reasoning": "Heard twice."}
    judging.judge(judged.pk, found, by=monitor, based_on=None)
    version = Incident.objects.get(pk=judged.pk).version
    undone(batch, monitor, also=[report("A1").pk, report("A2").pk])
    judged, other = (Incident.objects.get(pk=each.pk) for each in (judged, other))
    assert (judged.finding, judged.reports.count(), other.reports.count()) == ("violation", 0, 1)
    for each in (judged, other):
        step = each.steps.latest("pk")
        assert (step.kind, step.user, f"Import {batch.pk} was undone" in step.reason) == ("lost", monitor, True)
        assert not merging.may_be_taken_back(step)
    assert judged.version > version  # so that the feed tells of it


def test_a_file_does_not_tear_a_duplicate_from_what_it_repeats(monitor):
    header, *rows = SAMPLE.replace("narrative\n", "narrative,tier\n").replace("twice\n", "twice,1\n").splitlines()
    public = "\n".join([header, *(f"{row},1" if not row.endswith(",1") else row for row in rows)])
    committed(monitor, public)
    one, copy = report("A1"), report("A2")
    triage.take(copy.pk, "duplicate", of=one.pk, by=monitor)
    stricter = public.replace("twice,1", "twice,2")
    batch = tried(monitor, stricter)
    batch = done(staging.commit(batch.pk, by=monitor, based_on=batch.version))
    assert batch.state == State.TRIED
    assert f"V{copy.pk} is marked as a duplicate of V{one.pk}" in batch.error
    assert report("A1").tier == Tier.PUBLIC


def test_what_a_later_import_changed_is_left_to_it(monitor):
    first = committed(monitor)
    committed(monitor, SAMPLE.replace("30-35", "40"))
    [(row, why)] = staging.touched(first, by=monitor)
    assert (row.external_id, "changed it since" in why) == ("A1", True)
    batch = undone(first, monitor)
    assert (batch.counts["taken_back"], batch.counts["left"]) == (2, 1)
    assert report("A1").count_low == 40


# --- Who may


def test_a_monitor_files_no_report_above_their_own_tier(monitor):
    content = "external_id,occurred_from,kind,source,tier\nT1,2025-03-20,shot,Patrol,planning\n"
    assert "You may not file a report of that tier" in reasons(tried(monitor, content))[2]


def test_an_id_of_a_report_one_may_not_see_is_refused_without_telling_of_it(monitor):
    planner = a_member(Role.PLANNER)
    content = "external_id,occurred_from,kind,source,tier,narrative\nT1,2025-03-20,shot,Patrol,planning,secret words\n"
    with acting_as(planner):
        committed(planner, content)
    batch = tried(monitor, "external_id,occurred_from,kind,source\nT1,2025-03-20,shot,Patrol\n")
    assert "belongs to a report that you may not change" in reasons(batch)[2]
    assert "secret" not in json.dumps(batch.counts) + str(reasons(batch))


# --- The layouts


def test_the_osce_annex_has_places_by_range_and_bearing(monitor):
    batch = committed(monitor, (DATA / "osce_annex_sample.csv").read_bytes(), profile="osce-annex", dataset="osce")
    assert batch.counts["committed"] == {"new": 7}
    assert set(reasons(batch)) == {9, 10}
    seen = Report.objects.get(count_text="71")
    assert (seen.kind, seen.means, seen.weapon, seen.time_precision) == ("projectile", "recorded", "", "span")
    assert seen.place_name == "3-5km E of Avdiivka"
    assert 37.74 < seen.longitude < 37.85  # Avdiivka itself is at 37.74
    assert 1_000 < seen.place_precision_m < 10_000
    night = Report.objects.get(count_text="about 25")
    assert (night.count_low, night.time_precision) == (25, "part_of_day")
    nowhere = Report.objects.get(count_text="N/K")
    assert (nowhere.longitude, nowhere.count_low, nowhere.weapon) == (None, None, "120mm mortar")
    assert Report.objects.filter(count_text="several").count() == 2
    assert counts(
        tried(monitor, (DATA / "osce_annex_sample.csv").read_bytes(), profile="osce-annex", dataset="osce")
    ) == {
        "same": 7,
        "rejected": 2,
    }


def test_acled_accuses_nobody_and_knows_how_vague_it_is(monitor):
    batch = committed(monitor, (DATA / "acled_sample.csv").read_bytes(), profile="acled", dataset="acled")
    assert batch.counts["committed"] == {"new": 3}
    found = reasons(batch)
    assert {number: text.split(":")[0] for number, text in found.items()} == {
        5: "longitude",
        6: "event_date",
        7: "time_precision",
    }
    week, month = report("XXX2"), report("XXX3")
    assert (week.occurred_on, week.time_precision, week.place_precision_m) == (date(2024, 4, 5), "days", 25_000)
    assert (month.occurred_on, month.occurred_until.day) == (date(2020, 8, 14), 31)
    assert set(Report.objects.values_list("accused", "source__code", "tier")) == {(None, "acled", Tier.PUBLIC)}


@pytest.mark.parametrize("shape", ["utf-8", "windows-1252", "without a header"])
def test_ucdp_comes_in_three_shapes(monitor, shape):
    content = (DATA / "ucdp_sample.csv").read_text()
    if shape == "without a header":
        content = content.split("\n", 1)[1]
    encoded = content.encode("windows-1252" if shape == "windows-1252" else "utf-8")
    batch = committed(monitor, encoded, profile="ucdp-ged", dataset="ucdp")
    assert batch.counts["committed"] == {"new": 3}
    assert len(reasons(batch)) == 2
    assert report("9000003").occurred_on == date(2014, 1, 27)
    assert (report("9000002").kind, report("9000002").killed) == ("civilian_attack", 12)
    assert "près de la ville" in report("9000001").narrative


def test_viina_names_the_side_only_where_the_classifier_names_one(monitor):
    header = (
        "event_id_1pd,date,target_classes,asciiname,ADM1_NAME,longitude,latitude,a_ukr_init,a_rus_init,"
        "representative_text\n"
    )
    rows = [
        "1,20250320,ENERGY_GRID_SUPPORT,Kharkiv,Kharkiv,36.23,49.99,0,1,Вибух на підстанції\n",
        "2,20250320,FUEL_STORAGE_TERMINAL|REFINING_PETROCHEM_GAS,Tuapse,Krasnodar,39.07,44.1,1,1,text\n",
    ]
    committed(monitor, header + "".join(rows), profile="viina-infrastructure", dataset="viina")
    one, two = report("1"), report("2")
    assert (one.accused.code, one.facility_class, one.occurred_on) == ("russia", "power", date(2025, 3, 20))
    assert (two.accused, two.facility_class) == (None, "")


def test_a_foreign_header_is_mapped_once_and_found_again(monitor):
    content = "№;Дата;Широта;Довгота;Опис\n7;20.03.2025;48,14;37,75;обстріл\n".encode("windows-1251")
    batch = sent(monitor, content)
    assert batch.summary["encoding"] == "windows-1251"
    columns = {
        "№": "external_id",
        "Дата": "occurred_from",
        "Широта": "latitude",
        "Довгота": "longitude",
        "Опис": "narrative",
    }
    chosen = staging.Mapping(
        columns=columns,
        constants={"source": "Patrol", "kind": "artillery"},
        decimal_comma=True,
        time_zone="Europe/Kyiv",
    )
    batch = done(staging.arrange(batch.pk, chosen, by=monitor, based_on=batch.version))
    assert counts(batch) == {"new": 1}, reasons(batch)
    done(staging.commit(batch.pk, by=monitor, based_on=batch.version))
    assert (report("7").kind, report("7").latitude, report("7").narrative) == ("artillery", 48.14, "обстріл")
    assert staging.proposed(sent(monitor, content.replace(b"7;", b"8;")), by=monitor) == chosen


def test_geojson_is_a_table_of_reports_too(monitor):
    feature = {
        "type": "Feature",
        "id": "G1",
        "geometry": {"type": "Point", "coordinates": [37.75, 48.14]},
        "properties": {"date": "2025-03-20", "type": "shot", "source": "Patrol"},
    }
    document = json.dumps({"type": "FeatureCollection", "features": [feature]})
    committed(monitor, document, name="reports.geojson")
    assert (report("G1").longitude, report("G1").kind) == (37.75, "shot")

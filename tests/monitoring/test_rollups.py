"""Stored counts against a plain recount, per tier, after whatever was done to the rows; and what marks them."""

import threading
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Stale
from monitoring import rollups
from monitoring.models import DailyCount, HexCount, HexMonth, HexMonthSlice, Incident, Report
from tests.factories import a_member, a_party, a_report, a_sector, a_source, an_incident

DAY = date(2027, 3, 10)
CELL, OTHER_CELL, THIRD_CELL = 599686042433355775, 599686043507097599, 599686044580839423
COLUMNS = {
    Tier.PLANNING: ("cell", "sector_id", "longitude"),
    Tier.COALITION: ("coalition_cell", "coalition_sector_id", "coalition_longitude"),
    Tier.PUBLIC: ("cell", "public_sector_id", "public_longitude"),
}
PLAIN = {
    "longitude": 37.0,
    "latitude": 48.0,
    "place_precision_m": 100,
    "cell": CELL,
    "coalition_longitude": 37.0,
    "coalition_latitude": 48.0,
    "coalition_cell": CELL,
    "public_longitude": 37.0,
    "public_latitude": 48.0,
}
DIMENSIONS = ("kind", "accused_id", "occurrence", "source_class", "sector_id")
COUNTED = (*DIMENSIONS, "place", "count_unit")
SUMS = ("events", "reports", "low", "high", "unknown")


@pytest.fixture
def _acting(db):
    with acting_as(SYSTEM):
        yield


acting = pytest.mark.usefixtures("_acting")


# --- a plain recount: row by row, nothing shared with the code under test -----------------------


def place_of(row, tier):
    cell, sector, longitude = (getattr(row, name) for name in COLUMNS[tier])
    return cell, sector, "placed" if cell else "too_vague" if longitude is not None else "no_place"


def recount(tier):
    """Return {(day, cell, dimensions): sums} as somebody would count who sees the rows of this tier and no others."""
    reports = [
        row
        for row in Report.objects.select_related("source")
        if row.tier <= tier and row.status not in ("duplicate", "out_of_scope")
    ]
    incidents = {row.pk: row for row in Incident.objects.all() if row.tier <= tier and row.merged_into_id is None}
    told = defaultdict(list)
    found = defaultdict(lambda: [0] * len(SUMS))
    for row in reports:
        incident = incidents.get(row.incident_id)
        if incident:
            told[incident.pk].append(row)
        cell, sector, place = place_of(row, tier)
        occurrence = incident.occurrence if incident else row.status
        key = (row.occurred_on, cell, row.kind, row.accused_id, occurrence, row.source.source_class, sector, place)
        sums = found[(*key, row.count_unit)]
        known = row.count_low is not None
        for at, amount in enumerate((not incident, 1, row.count_low or 0, row.count_high or 0, not known)):
            sums[at] += amount
    for row in incidents.values():
        by_strength = sorted(
            told[row.pk],
            key=lambda one: (one.source.source_class != "monitors", one.reliability, one.credibility, one.pk),
        )
        source_class = by_strength[0].source.source_class if by_strength else ""
        cell, sector, place = place_of(row, tier)
        found[row.occurred_on, cell, row.kind, row.accused_id, row.occurrence, source_class, sector, place, ""][0] += 1
    return {key: tuple(sums) for key, sums in found.items()}


def stored(model, tier, *keys, sums=SUMS):
    """Return what is stored, a row for each key: two rows of one key are a fault."""
    rows = list(model.objects.filter(tier=tier).values_list(*keys, *sums))
    found = {row[: len(keys)]: row[len(keys) :] for row in rows}
    assert len(found) == len(rows)
    return found


def summed(counts, shorten, sums):
    found = defaultdict(lambda: (0,) * sums)
    for key, amounts in counts.items():
        short = shorten(key)
        found[short] = tuple(a + b for a, b in zip(found[short], amounts[:sums], strict=True))
    return found


def sliced(months):
    """Return the months added up over everything, and by each dimension alone."""
    found = summed(months, lambda key: (*key[:2], "", ""), 2)
    for at, axis in enumerate(("kind", "accused", "occurrence", "source_class", "sector"), 2):
        found |= summed(months, lambda key, at=at, axis=axis: (*key[:2], axis, str(key[at] or "")), 2)
    return found


def assert_equals_a_recount():
    for tier in Tier:
        counts = recount(tier)
        assert stored(HexCount, tier, "day", "cell", *COUNTED) == counts
        assert stored(DailyCount, tier, "day", *COUNTED) == summed(counts, lambda key: (key[0], *key[2:]), 5)
        placed = {key: amounts for key, amounts in counts.items() if key[1]}
        months = summed(placed, lambda key: (key[0].replace(day=1), *key[1:7]), 2)
        assert stored(HexMonth, tier, "month", "cell", *DIMENSIONS, sums=SUMS[:2]) == months
        assert stored(HexMonthSlice, tier, "month", "cell", "axis", "value", sums=SUMS[:2]) == sliced(months)


# --- random rows, and random things done to them --------------------------------------------------


cells = st.sampled_from([CELL, OTHER_CELL, THIRD_CELL])
tiers = st.sampled_from(Tier)
days = st.sampled_from([DAY, DAY + timedelta(days=1), date(2027, 4, 1)])
statuses = st.sampled_from(["received", "screened", "plausible", "refuted", "duplicate", "out_of_scope"])
occurrences = st.sampled_from(["under_verification", "corroborated", "refuted"])
numbers = st.integers(0, 10**6)


@st.composite
def places(draw):
    """Return the columns of a place: none, too vague, plain, or a sensitive one that each tier sees elsewhere."""
    shape = draw(st.sampled_from(["none", "vague", "plain", "plain", "sensitive"]))
    sectors = [draw(st.sampled_from([None, 0, 1])) for _ in range(3)]
    empty = dict.fromkeys([*PLAIN, "sector", "coalition_sector", "public_sector"])
    if shape == "none":
        return empty
    points = {name: 35.0 for name in empty if name.endswith(("longitude", "latitude"))}
    if shape == "vague":
        return {**empty, **points, "place_precision_m": 20_000}
    cell = draw(cells)
    if shape == "plain":
        coalition_cell, sectors = cell, [sectors[0]] * 3
    else:
        coalition_cell = draw(cells)
    return {
        **empty,
        **points,
        "place_precision_m": 100,
        "cell": cell,
        "coalition_cell": coalition_cell,
        "sector": sectors[0],
        "coalition_sector": sectors[1],
        "public_sector": sectors[2],
    }


@st.composite
def accounts(draw):
    low = draw(st.sampled_from([None, 0, 3, 30]))
    at = datetime.combine(draw(days), time(12), UTC)
    return {
        "kind": draw(st.sampled_from(["explosion", "shot"])),
        "occurred_from": at,
        "occurred_until": at,
        "occurred_on": at.date(),
        "accused": draw(st.sampled_from([None, 0, 1])),
        "source": draw(st.integers(0, 3)),
        "status": draw(statuses),
        "count_low": low,
        "count_high": low and low + 5 if low else low,
        "count_unit": draw(st.sampled_from(["explosions", "shots"] if low is not None else ["", "explosions"])),
        "reliability": draw(st.sampled_from("ABF")),
        "tier": draw(tiers),
        **draw(places()),
    }


CHANGES = st.one_of(
    st.tuples(st.just("file"), accounts()),
    st.tuples(st.just("import"), st.lists(accounts(), min_size=1, max_size=6), st.integers(1, 30)),
    st.tuples(st.just("edit"), numbers, accounts()),
    st.tuples(st.just("tier"), numbers, tiers),
    st.tuples(st.just("merge"), numbers, st.integers(1, 4), tiers, occurrences),
    st.tuples(st.just("split"), numbers),
    st.tuples(st.just("judge"), numbers, occurrences, tiers),
    st.tuples(st.just("move incident"), numbers, days, places()),
    st.tuples(st.just("absorb"), numbers, numbers),
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("dissolve"), numbers),
    st.tuples(st.just("undo"), numbers, st.integers(1, 5)),
    st.tuples(st.just("reclass"), numbers, st.sampled_from(["monitors", "party", "media"])),
    st.tuples(st.just("sweep")),
)


class World:
    """Rows to be changed at random. Numbers pick one of the rows there are."""

    def __init__(self):
        self.sectors = [a_sector("north"), a_sector("south")]
        self.parties = [a_party("ru"), a_party("ua")]
        self.sources = [
            a_source(f"source-{number}", source_class=name, party=self.parties[0] if name == "party" else None)
            for number, name in enumerate(["monitors", "party", "media", "media"])
        ]

    def fields(self, given):
        fields = dict(given)
        for name in ("sector", "coalition_sector", "public_sector"):
            fields[name] = None if fields[name] is None else self.sectors[fields[name]]
        if "source" in fields:
            fields["accused"] = None if fields["accused"] is None else self.parties[fields["accused"]]
            fields["source"] = self.sources[fields["source"]]
        return fields

    def pick(self, model, number, **only):
        ids = list(model.objects.filter(**only).order_by("pk").values_list("pk", flat=True))
        return model.objects.filter(pk=ids[number % len(ids)]) if ids else model.objects.none()

    def do(self, what, *given):
        match what, *given:
            case "file", fields:
                Report.objects.create(**self.fields(fields))
            case "import", rows, times:
                Report.objects.bulk_create([Report(**self.fields(row)) for row in rows for _ in range(times)])
            case "edit", number, fields:
                fields = self.fields(fields)
                if self.pick(Report, number).filter(incident__isnull=False):
                    fields["status"] = "screened"
                self.pick(Report, number).update(**fields)
            case "tier", number, tier:
                self.pick(Report, number).update(tier=tier)
            case "merge", number, many, tier, occurrence:
                self.merge(number, many, tier, occurrence)
            case "split", number:
                self.pick(Report, number, incident__isnull=False).update(incident=None)
            case "judge", number, occurrence, tier:
                self.pick(Incident, number).update(occurrence=occurrence, tier=tier)
            case "move incident", number, day, place:
                self.pick(Incident, number).update(occurred_on=day, **self.fields(place))
            case "absorb", number, other:
                into = self.pick(Incident, other).first()
                self.pick(Incident, number).exclude(pk=into and into.pk).update(merged_into=into)
            case "delete", number:
                self.pick(Report, number).delete()
            case "dissolve", number:
                for incident in self.pick(Incident, number, absorbed=None):
                    incident.delete()
            case "undo", number, many:
                first = self.pick(Report, number).first()
                Report.objects.filter(pk__in=range(first.pk, first.pk + many) if first else ()).delete()
            case "reclass", number, source_class:
                source = self.sources[number % len(self.sources)]
                type(source).objects.filter(pk=source.pk).update(source_class=source_class, party=self.parties[0])
            case ("sweep",):
                rollups.sweep()

    def merge(self, number, many, tier, occurrence):
        ids = [self.pick(Report, number + at).exclude(status__in=["duplicate", "out_of_scope"]) for at in range(many)]
        found = [row for rows in ids for row in rows]
        if found:
            like = found[0]
            names = ["kind", "accused_id", "occurred_from", "occurred_until", "occurred_on"]
            names += ["longitude", "latitude", "place_precision_m", "cell", "sector_id", "coalition_longitude"]
            names += ["coalition_latitude", "coalition_cell", "coalition_sector_id", "public_longitude"]
            names += ["public_latitude", "public_sector_id"]
            incident = Incident.objects.create(
                title="One event", tier=tier, occurrence=occurrence, **{name: getattr(like, name) for name in names}
            )
            Report.objects.filter(pk__in=[row.pk for row in found]).update(incident=incident)


@contextmanager
def taken_back():
    """Leave nothing of an example behind."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@acting
@given(changes=st.lists(CHANGES, min_size=10, max_size=60))
def test_stored_counts_equal_a_recount_for_every_tier_whatever_is_done(changes):
    with taken_back():
        world = World()
        for change in changes:
            world.do(*change)
        rollups.sweep()
        assert not Stale.objects.filter(kind=rollups.KIND)
        assert_equals_a_recount()


# --- marks ------------------------------------------------------------------------------------------


def marked():
    """Return the keys that wait, and forget them."""
    keys = set(Stale.objects.filter(kind=rollups.KIND).values_list("key", flat=True))
    Stale.objects.all().delete()
    return keys


@acting
def test_a_moved_report_marks_the_cell_and_day_it_left_and_those_it_came_to():
    report = a_report(**PLAIN)
    marked()
    Report.objects.filter(pk=report.pk).update(cell=OTHER_CELL, occurred_on=DAY + timedelta(days=1))
    assert marked() == {f"2027-03-10:{CELL}", f"2027-03-11:{OTHER_CELL}", f"2027-03-11:{CELL}"}


@acting
def test_a_bulk_load_marks_days_and_not_rows():
    source = a_source()
    marked()
    at = datetime(2027, 3, 10, 12, tzinfo=UTC)
    fields = {"source": source, "occurred_from": at, "occurred_until": at, "occurred_on": at.date()}
    Report.objects.bulk_create(Report(**fields, **PLAIN) for _ in range(300))
    assert Stale.objects.filter(kind=rollups.KIND).count() == 1
    assert marked() == {"2027-03-10"}


@acting
def test_a_merger_marks_the_incident_left_and_the_incident_joined():
    old, new = an_incident(), an_incident()
    report = a_report(incident=old)
    marked()
    Report.objects.filter(pk=report.pk).update(incident=new)
    assert {f"incident:{old.pk}", f"incident:{new.pk}"} <= marked()


def test_an_incident_changed_by_somebody_who_sees_not_all_its_reports_is_counted_anew_for_all(committed):
    with acting_as(SYSTEM):
        incident = an_incident(occurrence="under_verification")
        a_report(incident=incident, tier=Tier.PLANNING)
        monitor = a_member(Role.MONITOR)
    rollups.sweep()
    with acting_as(monitor):
        Incident.objects.filter(pk=incident.pk).update(occurrence="refuted")
    rollups.sweep()
    with acting_as(SYSTEM):
        assert set(DailyCount.objects.values_list("occurrence", flat=True)) == {"refuted"}
        assert_equals_a_recount()


# --- workers beside each other ----------------------------------------------------------------------


def at_once(*calls):
    """Run calls in threads with connections of their own; raise what one of them raised."""
    failures = []

    def run(call):
        try:
            call()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_two_workers_and_writers_on_the_same_cell_leave_true_counts(committed):
    with acting_as(SYSTEM):
        world = World()
    at = datetime(2027, 3, 10, 12, tzinfo=UTC)

    def files(days):
        def call():
            for number in range(12):
                moment = at + timedelta(days=(number % 2) * days)
                with acting_as(SYSTEM):
                    Report.objects.create(
                        source=world.sources[0],
                        occurred_from=moment,
                        occurred_until=moment,
                        occurred_on=moment.date(),
                        **PLAIN,
                    )
                rollups.sweep()

        return call

    at_once(files(1), files(2), files(3))
    rollups.sweep()
    with acting_as(SYSTEM):
        assert not Stale.objects.filter(kind=rollups.KIND)
        assert sum(HexMonth.objects.filter(tier=Tier.COALITION).values_list("reports", flat=True)) == 36
        assert_equals_a_recount()


@acting
def test_nothing_is_left_of_what_is_gone():
    report = a_report(**PLAIN)
    rollups.sweep()
    assert HexCount.objects.exists()
    report.delete()
    rollups.sweep()
    assert not any(model.objects.exists() for model in (HexCount, HexMonth, HexMonthSlice, DailyCount))


@acting
def test_all_days_can_be_marked_and_counted_anew():
    a_report(**PLAIN)
    rollups.sweep()
    DailyCount.objects.update(events=99)
    assert rollups.mark_all() == 1
    rollups.sweep()
    assert_equals_a_recount()

"""Stored answers to which provision covers what: they equal a recount after whatever happened, and so do the counts."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Sector, Stale
from monitoring import coverage, provisions, replacing
from monitoring.models import (
    COVERED_TOGETHER,
    Agreement,
    Coverage,
    Incident,
    Provision,
    ProvisionTerm,
    Report,
    Source,
)
from tests.factories import (
    a_member,
    a_party,
    a_provision,
    a_report,
    a_sector,
    a_source,
    a_term,
    an_agreement,
    an_incident,
)

pytestmark = pytest.mark.django_db
START = datetime(2027, 3, 1, tzinfo=UTC)
KINDS = ("facility_strike", "missile", "shot", "not_stated")
FACILITIES = ("power", "housing", "")
STORED = ("report_id", "incident_id", "provision_id", "party_id", "tier_from", "tier_until", "answer", "when", "at")


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


def square(west: float, south: float, side: float = 1.0) -> dict:
    east, north = west + side, south + side
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def stored_per_tier() -> set[tuple]:
    """What each tier finds stored: one entry per tier that an answer holds for."""
    return {
        (
            tier,
            row.report_id,
            row.incident_id,
            row.provision_id,
            row.party_id,
            row.answer,
            row.when,
            row.at,
            *row.doubts,
        )
        for row in Coverage.objects.all()
        for tier in Tier
        if row.tier_from <= tier <= row.tier_until
    }


def recounted() -> set[tuple]:
    """The same from nothing: every thing against every provision, one by one, without a filter."""
    found = set()
    duties = provisions.duties(provisions.with_all(Provision.objects.all()))
    for thing in [*Report.objects.all(), *Incident.objects.all()]:
        ids = (thing.pk, None) if isinstance(thing, Report) else (None, thing.pk)
        for tier in Tier:
            act = provisions.act_of(thing, tier)
            for duty in duties:
                if max(thing.tier, duty.tier) > tier:
                    continue
                fits = provisions.fit_here(act, duty)
                answers = [] if fits.misses else provisions.answers(act, duty, fits)
                if provisions.is_worth_storing(answers):
                    found |= {(tier, *ids, duty.id, a.party, a.answer, a.when, a.at, *a.doubts) for a in answers}
    return found


def sweep() -> None:
    """As the worker does, in this transaction: until no mark is left."""
    while keys := set(Stale.objects.filter(kind="coverage").values_list("key", flat=True)):
        Stale.objects.filter(kind="coverage").delete()
        coverage.recompute(sorted(keys))


# --- random lives -----------------------------------------------------------------------------


def a_random_place(dice: random.Random) -> dict:
    if dice.random() < 0.2:
        return {}
    longitude, latitude = dice.uniform(29, 33), dice.uniform(49, 53)
    sensitive = dice.random() < 0.3
    return {
        "longitude": longitude,
        "latitude": latitude,
        "place_precision_m": dice.choice([10, 3_000, 50_000]),
        "sensitive": sensitive,
        "coalition_longitude": longitude + (0.005 if sensitive else 0),
        "coalition_latitude": latitude + (0.005 if sensitive else 0),
        "public_longitude": longitude + (0.1 if sensitive else 0),
        "public_latitude": latitude + (0.1 if sensitive else 0),
    }


def a_random_act(dice: random.Random) -> dict:
    begins = START + timedelta(hours=dice.randrange(-100, 900))
    return {
        "kind": dice.choice(KINDS),
        "facility_class": dice.choice(FACILITIES),
        "accused": dice.choice([None, a_party("ru"), a_party("ua")]),
        "occurred_from": begins,
        "occurred_until": begins + timedelta(hours=dice.choice([0, 0, 5, 24, 200])),
        "tier": dice.choice(list(Tier)),
        **a_random_place(dice),
    }


def change_something(dice: random.Random) -> None:
    """One random thing that people or imports do."""
    reports, rows = list(Report.objects.order_by("pk")), list(Provision.objects.order_by("pk"))
    terms, areas = list(ProvisionTerm.objects.order_by("pk")), list(Sector.objects.order_by("pk"))
    what = dice.randrange(14)
    if what <= 2 or not reports:
        a_report(**a_random_act(dice))
    elif what == 3:
        an_incident(**a_random_act(dice), attribution=dice.choice(["", "third_party"]))
    elif what == 4:
        Report.objects.filter(pk=dice.choice(reports).pk).update(**a_random_act(dice))
    elif what == 5:
        dice.choice(reports).delete()
    elif what == 6:
        source = a_source()
        acts = [Report(source=source, occurred_on=START.date(), **a_random_act(dice)) for _ in range(5)]
        Report.objects.bulk_create(acts)
    elif what <= 8 or not rows:
        number = Provision.objects.count() + dice.randrange(1000)
        row = a_provision(
            f"{number}-{dice.random()}"[:40],
            agreement=an_agreement(dice.choice("ab")),
            act_kinds=dice.sample(KINDS[:3], dice.randrange(3)),
            facility_classes=dice.sample(FACILITIES[:2], dice.randrange(2)),
            kind=dice.choice(["moratorium", "cessation_of_fire", "release"]),
            binds=dice.sample(["ru", "ua", "gone"], dice.randrange(2)),
        )
        a_term(row, "ru", START + timedelta(days=dice.randrange(20)))
    elif what == 9:
        begins = START + timedelta(days=dice.randrange(40, 60))
        a_term(dice.choice(rows), dice.choice(["ru", "ua"]), begins + timedelta(seconds=dice.randrange(9999)))
    elif what == 10 and terms:
        ends = dice.choice([None, START + timedelta(days=70)])
        ProvisionTerm.objects.filter(pk=dice.choice(terms).pk).update(ends_at=ends)
    elif what == 11:
        area = a_sector(
            f"area-{len(areas)}-{dice.random()}", polygon=square(dice.uniform(29, 32), dice.uniform(49, 52))
        )
        Provision.objects.filter(pk=dice.choice(rows).pk).update(zones=[area.code])
    elif what == 12 and areas:
        moved = {"polygon": square(dice.uniform(29, 32), dice.uniform(49, 52))}
        renamed = {"code": f"area-{dice.random()}"}
        Sector.objects.filter(pk=dice.choice(areas).pk).update(**dice.choice([moved, moved, renamed]))
    elif what == 13:
        if dice.random() < 0.5:
            Agreement.objects.update(tier=dice.choice(list(Tier)))
        else:
            dice.choice(rows).delete()


@settings(max_examples=12)
@given(seed=st.integers(0, 10**9), rounds=st.integers(1, 12))
def test_what_is_stored_equals_a_recount_from_nothing_after_random_edits(seed, rounds):
    dice = random.Random(seed)
    for _ in range(rounds):
        for _ in range(dice.randrange(1, 8)):
            change_something(dice)
        sweep()
        assert stored_per_tier() == recounted()
    Agreement.objects.all().delete()
    sweep()
    assert not Coverage.objects.exists()
    Report.objects.all().delete()
    Incident.objects.all().delete()
    Sector.objects.all().delete()
    sweep()


# --- what costs how much -------------------------------------------------------------------------


def marks() -> set[str]:
    return set(Stale.objects.filter(kind="coverage").values_list("key", flat=True))


@pytest.fixture
def truce():
    """No strikes from 1 March, as Russia dates it; from 8 March as Ukraine does."""
    row = a_provision("1", agreement=an_agreement("truce"), act_kinds=["facility_strike"])
    a_term(row, "ru", START)
    a_term(row, "ua", START + timedelta(days=7))
    sweep()
    return row


def test_a_bulk_load_marks_blocks_and_not_rows(truce):
    source = a_source()
    Stale.objects.all().delete()
    Report.objects.bulk_create(
        [
            Report(source=source, kind="shot", occurred_from=START, occurred_until=START, occurred_on=START.date())
            for _ in range(450)
        ]
    )
    assert len(marks()) <= 450 / COVERED_TOGETHER + 2


def test_an_edit_that_no_answer_depends_on_marks_nothing(truce):
    report = a_report("facility_strike", START)
    sweep()
    Report.objects.filter(pk=report.pk).update(narrative="Corrected a spelling", status="screened", sector=None)
    assert marks() == set()
    Report.objects.filter(pk=report.pk).update(facility_class="power")
    assert marks() == {f"reports:{report.pk // COVERED_TOGETHER}"}


def test_a_changed_term_marks_only_blocks_with_something_in_time(truce):
    near = a_report("facility_strike", START + timedelta(days=1))
    Report.objects.bulk_create(
        [
            Report(
                source=a_source(),
                kind="facility_strike",
                occurred_from=START - timedelta(days=400),
                occurred_until=START - timedelta(days=400),
                occurred_on=(START - timedelta(days=400)).date(),
            )
            for _ in range(3 * COVERED_TOGETHER)
        ]
    )
    sweep()
    duties = provisions.duties(provisions.with_all(Provision.objects.all()))
    assert coverage.blocks_of([truce.pk], duties) == [f"reports:{near.pk // COVERED_TOGETHER}"]


def test_working_a_block_out_costs_few_queries(truce, django_assert_max_num_queries):
    for _ in range(5):
        a_report("facility_strike", START + timedelta(days=1))
    keys = sorted(marks())
    with django_assert_max_num_queries(10):
        coverage.recompute(keys)


def test_acts_outside_every_term_are_not_stored(truce):
    a_report("facility_strike", START - timedelta(days=1))
    sweep()
    assert not Coverage.objects.exists()


# --- counts ---------------------------------------------------------------------------------------


def by_dates(agreement, user) -> dict[tuple, dict]:
    """{(dates, accused): {class: covered}} without the zeros."""
    parties = {a_party(code).pk: code for code in ("ru", "ua")} | {None: None}
    return {
        (parties[row.dates], parties[row.accused]): {of: number for of, number in row.covered.items() if number}
        for row in coverage.counts(agreement, user)
    }


def test_events_are_counted_by_whose_dates_and_each_once(truce):
    ru = a_party("ru")
    strike = {"kind": "facility_strike", "accused": ru}
    press = a_source("press", source_class=Source.Class.MEDIA)
    early, late = START + timedelta(days=2), START + timedelta(days=9)
    a_report(at=early, **strike)
    a_report(at=late, **strike)
    a_report(at=late, source=press, **strike)
    a_report(at=late, status="duplicate", **strike)
    a_report(at=late, status="refuted", **strike)
    incident = an_incident(at=late, finding="violation", **strike)
    a_report(at=late, incident=incident, **strike)
    a_report(at=late, source=press, incident=incident, **strike)
    sweep()
    assert by_dates(truce.agreement, SYSTEM) == {
        ("ru", "ru"): {"monitors": 2, "media": 1, "incidents": 1},
        ("ua", "ru"): {"monitors": 1, "media": 1, "incidents": 1},
    }
    assert {row.violations for row in coverage.counts(truce.agreement, SYSTEM)} == {1}


def test_every_count_opens_exactly_as_many_rows(truce):
    for day in (2, 3, 9):
        a_report("facility_strike", START + timedelta(days=day), accused=a_party("ru"))
    an_incident(at=START + timedelta(days=9), kind="facility_strike")
    a_report("not_stated", START + timedelta(days=9))
    sweep()
    seen = 0
    for row in coverage.counts(truce.agreement, SYSTEM):
        for answer, numbers in (("yes", row.covered), ("unclear", row.unclear)):
            for of, number in numbers.items():
                rows = coverage.listed(SYSTEM, truce, dates=row.dates, answer=answer, of=of, accused=row.accused)
                assert rows.count() == number
                seen += number
    assert seen == 3 + 1 + 2 + 2  # by Russia's dates three, by Ukraine's one; the incident and the doubt by both


def test_nothing_of_a_planning_tier_thing_is_in_a_coalition_count(truce):
    monitor = a_member(Role.MONITOR)
    day = START + timedelta(days=9)
    hidden = an_incident(at=day, kind="facility_strike", tier=Tier.PLANNING, accused=a_party("ru"))
    a_report("facility_strike", day, incident=hidden, accused=a_party("ru"))
    a_report("facility_strike", day, tier=Tier.PLANNING, accused=a_party("ru"))
    sweep()
    assert by_dates(truce.agreement, SYSTEM)["ru", "ru"] == {"monitors": 1, "incidents": 1}
    with acting_as(monitor):
        # The incident is invisible, so its visible report stands alone.
        assert by_dates(truce.agreement, monitor)["ru", "ru"] == {"monitors": 1}
        assert not Coverage.objects.filter(tier_from=Tier.PLANNING).exists()


def test_a_tier_raised_a_moment_ago_is_hidden_before_the_worker_comes(truce):
    report = a_report("facility_strike", START, accused=a_party("ru"))
    sweep()
    Report.objects.filter(pk=report.pk).update(tier=Tier.PLANNING)
    monitor = a_member(Role.MONITOR)
    with acting_as(monitor):
        assert coverage.counts(truce.agreement, monitor) == []


# --- sectors ----------------------------------------------------------------------------------------


def replace_all() -> int:
    changed = 0
    while keys := set(Stale.objects.filter(kind="places").values_list("key", flat=True)):
        Stale.objects.filter(kind="places").delete()
        changed += replacing.replace(sorted(keys))
    return changed


def test_a_changed_sector_takes_its_reports_along():
    place = {"longitude": 30.5, "latitude": 50.5, "place_precision_m": 100}
    seen = {f"{tier}_{name}": place[name] for tier in ("coalition", "public") for name in ("longitude", "latitude")}
    report = a_report(**place, **seen)
    vague = a_report(**place | {"place_precision_m": 20_000}, **seen)
    north = a_sector("north", polygon=square(30, 50))
    site = a_sector("site", kind="protected_site", polygon=square(30.4, 50.4, 0.2))
    assert replace_all() == 1
    report.refresh_from_db(), vague.refresh_from_db()
    assert (report.sector, report.coalition_sector, report.public_sector) == (north, north, north)
    assert (report.zones, report.coalition_zones, report.public_zones) == ([site.pk], [site.pk], [site.pk])
    assert (vague.sector, vague.zones) == (None, [])
    Sector.objects.filter(pk=north.pk).update(polygon=square(31, 50))
    site.delete()
    replace_all()
    report.refresh_from_db()
    assert (report.sector, report.zones, report.public_zones) == (None, [], [])


def test_a_sensitive_place_is_in_the_sector_that_each_tier_sees_it_in():
    west, east = a_sector("west", polygon=square(30, 50)), a_sector("east", polygon=square(31, 50))
    report = a_report(
        longitude=30.999,
        latitude=50.5,
        place_precision_m=10,
        sensitive=True,
        coalition_longitude=31.005,
        coalition_latitude=50.5,
        public_longitude=31.05,
        public_latitude=50.5,
    )
    Sector.objects.filter(pk=west.pk).update(name="Western")
    Stale.objects.filter(kind="places").delete()
    Sector.objects.filter(pk=west.pk).update(kind="buffer_zone")
    Sector.objects.filter(pk=west.pk).update(kind="sector")
    replace_all()
    report.refresh_from_db()
    assert (report.sector, report.coalition_sector, report.public_sector) == (west, east, east)

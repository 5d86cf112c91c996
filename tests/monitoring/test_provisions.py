"""Which provision was in force there and then, by whose dates: the rule and its words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from shapely.geometry import box

from coalition.access import SYSTEM, Role, Tier, acting_as
from monitoring import provisions
from monitoring.models import Coverage
from monitoring.provisions import NOBODY, Act, Dimension, Duty, Term
from tests.factories import (
    a_member,
    a_party,
    a_provision,
    a_report,
    a_sector,
    a_term,
    an_agreement,
    an_incident,
)

KYIV = ZoneInfo("Europe/Kyiv")
RU, UA = 1, 2
NAMES = {RU: "Russia", UA: "Ukraine"}
MARCH_18, MARCH_25 = datetime(2025, 3, 18, tzinfo=KYIV), datetime(2025, 3, 25, tzinfo=KYIV)
DAYS_30 = timedelta(days=30)
STRIKES = frozenset({"facility_strike", "missile"})


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=KYIV)


def an_act(kind="facility_strike", facility="power", accused=RU, begins=None, until=None, **place) -> Act:
    begins = begins or at(20)
    return Act(kind, facility, accused, begins, until or begins, **place)


def a_duty(**fields) -> Duty:
    given = {
        "id": 1,
        "agreement": 1,
        "article": "1(c)",
        "tier": Tier.COALITION,
        "act_kinds": STRIKES,
        "facility_classes": frozenset({"power"}),
        "area": None,
        "binds": frozenset(),
        "terms": (Term(RU, MARCH_18, MARCH_18 + DAYS_30), Term(UA, MARCH_25, MARCH_25 + DAYS_30)),
        **fields,
    }
    return Duty(**given)


def words(act: Act, duty: Duty) -> str:
    """The answers of a matching act in one line."""
    found = provisions.answers(act, duty, provisions.fit_here(act, duty))
    said = provisions.in_words(found, article=duty.article, parties=NAMES, zone=KYIV)
    return "; ".join(each.sentence for each in said)


def answers(act: Act, duty: Duty) -> dict[int, str]:
    return {each.party: each.answer for each in provisions.answers(act, duty, provisions.fit_here(act, duty))}


# --- dimensions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "misses", "doubts"),
    [
        ({}, (), ()),
        ({"facility": "housing"}, ("facility",), ()),
        ({"facility": ""}, (), ("facility",)),
        ({"kind": "shot"}, ("act",), ()),
        ({"kind": "not_stated"}, (), ("act",)),
        ({"accused": UA}, ("bound",), ()),
        ({"accused": None}, (), ("bound",)),
        ({"accused": NOBODY}, ("bound",), ()),
        ({"kind": "shot", "facility": ""}, ("act",), ("facility",)),
    ],
)
def test_an_act_fits_when_every_named_dimension_does(act, misses, doubts):
    fits = provisions.fit(an_act(**act), a_duty(binds=frozenset({RU})))
    assert (fits.misses, fits.doubts) == (misses, doubts)


def test_what_a_provision_does_not_name_holds_for_all():
    everything = a_duty(act_kinds=frozenset(), facility_classes=frozenset())
    for act in (an_act(), an_act("not_stated", "", None), an_act("assault", "housing", NOBODY)):
        assert provisions.fit(act, everything) == provisions.Fit()


# --- time -----------------------------------------------------------------------------------


def test_a_strike_on_a_substation_between_the_two_starts_is_covered_by_one_partys_dates_only():
    assert words(an_act(), a_duty()) == (
        "covered by article 1(c) under Russia’s dates; "
        "before entry into force of article 1(c) under Ukraine’s dates (25 March 2025)"
    )


def test_within_both_terms_the_parties_share_a_sentence():
    assert words(an_act(begins=at(28)), a_duty()) == "covered by article 1(c) under Russia’s and Ukraine’s dates"


def test_after_one_term_the_other_still_covers():
    assert words(an_act(begins=datetime(2025, 4, 20, tzinfo=KYIV)), a_duty()) == (
        "covered by article 1(c) under Ukraine’s dates; "
        "after the end of article 1(c) under Russia’s dates (17 April 2025)"
    )


def test_a_span_across_the_beginning_cannot_be_told_and_is_no_for_nobody():
    act = an_act(begins=at(24, 22), until=at(25, 3))
    assert answers(act, a_duty()) == {RU: "yes", UA: "unclear"}
    assert "it may have happened before entry into force (25 March 2025)" in words(act, a_duty())


def test_a_term_begins_with_its_first_instant_and_ends_just_before_its_last():
    ends = MARCH_18 + DAYS_30
    just = timedelta(microseconds=1)
    by_russia = a_duty(terms=(Term(RU, MARCH_18, ends),))
    assert answers(an_act(begins=MARCH_18), by_russia) == {RU: "yes"}
    assert answers(an_act(begins=MARCH_18 - just), by_russia) == {RU: "no"}
    assert answers(an_act(begins=ends - just), by_russia) == {RU: "yes"}
    assert answers(an_act(begins=ends), by_russia) == {RU: "no"}
    assert answers(an_act(begins=ends - just, until=ends), by_russia) == {RU: "unclear"}


def test_a_term_ended_by_a_person_and_taken_up_again_leaves_a_gap():
    broken = a_duty(terms=(Term(RU, at(18), at(20)), Term(RU, at(22), None)))
    assert answers(an_act(begins=at(19)), broken) == {RU: "yes"}
    assert words(an_act(begins=at(21)), broken) == (
        "between two terms of article 1(c) under Russia’s dates (next from 22 March 2025, 12:00)"
    )
    assert answers(an_act(begins=datetime(2030, 1, 1, tzinfo=UTC)), broken) == {RU: "yes"}


def test_a_doubt_never_makes_a_no_into_a_perhaps():
    act = an_act(facility="", begins=at(20))
    assert answers(act, a_duty()) == {RU: "unclear", UA: "no"}
    assert "what was hit is not stated" in words(act, a_duty())


# --- place ----------------------------------------------------------------------------------

ZONE = box(30, 50, 31, 51)
KM_IN_DEGREES = 1 / 111.195


@pytest.mark.parametrize(
    ("north_of_edge_km", "precision_m", "expected"),
    [(-5, 1000, True), (5, 1000, False), (-0.9, 1000, None), (0.9, 1000, None), (0.9, 800, False), (-0.9, 800, True)],
)
def test_a_place_is_in_a_zone_unless_its_precision_reaches_across_the_edge(north_of_edge_km, precision_m, expected):
    latitude = 51 + north_of_edge_km * KM_IN_DEGREES
    place = [np.array([value], float) for value in (30.5, latitude, precision_m)]
    assert provisions.in_areas(*place, ZONE) == [expected]


def test_metres_are_metres_to_the_east_as_well():
    east_km = 1.5
    longitude = 31 + east_km * KM_IN_DEGREES / np.cos(np.radians(50.5))
    for precision_m, expected in ((1400, False), (1600, None)):
        assert provisions.in_areas(*(np.array([v], float) for v in (longitude, 50.5, precision_m)), ZONE) == [expected]


def test_without_a_place_one_cannot_tell_where_a_zone_is_named():
    act = an_act()
    fits = provisions.fit_here(act, a_duty(area=ZONE))
    assert fits.doubts == (Dimension.ZONE,)
    assert provisions.fit_here(act, a_duty()).doubts == ()


def test_a_place_vaguer_than_the_whole_zone_cannot_be_told():
    act = an_act(longitude=30.5, latitude=50.5, precision_m=200_000)
    assert provisions.fit_here(act, a_duty(area=ZONE)).doubts == (Dimension.ZONE,)


# --- as people see it -------------------------------------------------------------------------


@pytest.fixture
def moratorium(db):
    """Strikes on power are forbidden, from 18 March as Russia dates it and from 25 March as Ukraine does."""
    with acting_as(SYSTEM):
        a_party("ru"), a_party("ua")
        agreement = an_agreement("moratorium", name="Energy moratorium")
        power = a_provision(
            "1(c)", agreement=agreement, act_kinds=["facility_strike"], facility_classes=["power"], kind="moratorium"
        )
        a_term(power, "ru", MARCH_18, ends_at=MARCH_18 + DAYS_30)
        a_term(power, "ua", MARCH_25, ends_at=MARCH_25 + DAYS_30)
        release = a_provision("3", agreement=agreement, kind="release", text="A breach frees the other side.")
        a_term(release, "ru", MARCH_18), a_term(release, "ua", MARCH_25)
        yield power


def said_of(thing, user=SYSTEM) -> list[str]:
    return [
        clause.sentence if clause else each.missed
        for each in provisions.coverage_of(thing, user)
        for clause in each.clauses or [None]
    ]


def a_strike(facility="power", begins=None, until=None, **fields):
    begins = begins or at(20)
    return a_report(
        "facility_strike",
        begins,
        facility_class=facility,
        occurred_until=until or begins,
        occurred_on=begins.astimezone(KYIV).date(),
        **fields,
    )


def test_a_strike_on_a_house_is_not_covered_and_the_page_says_why(moratorium):
    assert said_of(a_strike("housing")) == ["housing is not a facility that it names"]


def test_a_report_dated_only_by_its_local_day_is_that_day_everywhere(moratorium):
    midnight = datetime(2025, 3, 20, tzinfo=KYIV)
    report = a_strike(begins=midnight, until=midnight + timedelta(days=1, microseconds=-1), time_precision="day")
    assert str(report.occurred_on) == "2025-03-20"
    [said] = said_of(report)
    assert said == (
        "covered by article 1(c) under Russian Federation’s dates; "
        "before entry into force of article 1(c) under Ukraine’s dates (25 March 2025)"
    )
    first = datetime(2025, 3, 18, tzinfo=KYIV)
    assert (
        "covered by article 1(c) under Russian"
        in said_of(a_strike(begins=first, until=first + timedelta(days=1, microseconds=-1), time_precision="day"))[0]
    )


def test_before_everybodys_dates_there_is_nothing_to_say(moratorium):
    assert said_of(a_strike(begins=at(1))) == []


def test_a_release_clause_is_never_applied_by_the_machine(moratorium):
    assert [clause.provision for each in provisions.coverage_of(a_strike(), SYSTEM) for clause in each.clauses] == [
        moratorium
    ]


def test_a_judged_attribution_goes_before_the_accusation(moratorium):
    ua = a_party("ua")
    moratorium.binds = ["ua"]
    moratorium.save()
    incident = an_incident("Strike", at(20), kind="facility_strike", facility_class="power", accused=a_party("ru"))
    assert said_of(incident) == ["it does not bind Russian Federation"]
    incident.attribution, incident.attributed_to = "party", ua
    assert said_of(incident)[0].startswith("covered by article 1(c)")
    incident.attribution, incident.attributed_to = "third_party", None
    assert said_of(incident)[0].startswith("it does not bind")


def test_whom_an_agreement_is_hidden_from_is_told_nothing_of_it(moratorium):
    moratorium.agreement.tier = Tier.PLANNING
    moratorium.agreement.save()
    report, monitor = a_strike(), a_member(Role.MONITOR)
    assert said_of(report, a_member(Role.PLANNER))
    assert said_of(report, monitor) == []


def test_each_tier_is_answered_by_the_place_it_sees(moratorium):
    a_sector("site", kind="protected_site", polygon=_square(30, 50, 0.02))
    moratorium.zones = ["site"]
    moratorium.save()
    report = a_strike(
        longitude=30.01,
        latitude=50.01,
        place_precision_m=50,
        sensitive=True,
        coalition_longitude=30.0075,
        coalition_latitude=50.005,
        public_longitude=30.3,
        public_latitude=50.1,
    )
    assert said_of(report, a_member(Role.PLANNER))[0].startswith("covered")
    assert said_of(report, a_member(Role.MONITOR))[0].startswith("cannot tell")


def test_a_zone_that_was_deleted_does_not_come_to_mean_everywhere(moratorium):
    moratorium.zones = ["gone"]
    moratorium.save()
    report = a_strike(longitude=30.5, latitude=50.5, place_precision_m=10)
    assert said_of(report) == ["the place lies outside its zones"]


def _square(west: float, south: float, side: float) -> dict:
    east, north = west + side, south + side
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def test_every_reason_that_is_stored_has_words():
    assert set(provisions.DOUBT) == set(Dimension)
    assert all(len(name) <= Coverage._meta.get_field("doubts").base_field.max_length for name in Dimension)

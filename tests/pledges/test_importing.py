"""What becomes of the rows of a file of pledges or public statements: never guessed, never twice, always undone."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from coalition import jobs
from coalition.access import Role, Tier, acting_as
from coalition.imports import staging
from coalition.imports.mapping import Mapping
from coalition.imports.staging import State, phase
from coalition.models import ImportBatch, ImportRow, Nation, Tombstone
from pledges import allocating, declaring
from pledges.models import Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    the_operation,
)

pytestmark = pytest.mark.django_db

SAMPLE = (Path(__file__).parent.parent / "data" / "public_statements_sample.csv").read_bytes()
COLUMNS = {
    "iso2": "nation",
    "statement_date": "stated_on",
    "category": "capability",
    "pledge_text": "what",
    "quantity_low": "stated_low",
    "quantity_high": "stated_high",
    "unit": "unit",
    "status": "status",
    "conditions": "conditions",
    "source_url": "source_url",
}
WORDS = {"capability": {"troops": "infantry", "naval": "mine-hunters", "training": "instructors"}}


@pytest.fixture
def planner():
    user = a_member(Role.PLANNER)
    with acting_as(user):
        the_operation()
        for code in ("FR", "GB", "EE", "PL", "UA", "CA"):
            a_nation(code)
        a_nation("EE")
        a_capability("infantry")
        a_capability("mine-hunters", unit="vessels")
        a_capability("instructors")
        yield user


def done(batch: ImportBatch) -> ImportBatch:
    """The batch after a worker did its job."""
    assert jobs.work(batch.job_id)
    return ImportBatch.objects.select_related("job").get(pk=batch.pk)


def sent(by, content: bytes = SAMPLE, *, profile="public-statements", name="statements.csv", dataset="press"):
    file = SimpleUploadedFile(name, content)
    return done(staging.upload(file, profile=profile, operation=the_operation(), dataset=dataset, by=by))


def tried(by, content: bytes = SAMPLE, *, columns=None, words=None, constants=None, **kwargs) -> ImportBatch:
    batch = sent(by, content, **kwargs)
    assert phase(batch) == State.READ, batch.error
    chosen = Mapping(columns=columns or COLUMNS, words=WORDS if words is None else words, constants=constants or {})
    return done(staging.arrange(batch.pk, chosen, by=by, based_on=batch.version))


def committed(by, content: bytes = SAMPLE, **kwargs) -> ImportBatch:
    batch = tried(by, content, **kwargs)
    return done(staging.commit(batch.pk, by=by, based_on=batch.version))


def row(batch: ImportBatch, number: int) -> ImportRow:
    return ImportRow.objects.get(batch=batch, number=number)


def reasons(batch: ImportBatch) -> dict[int, str]:
    rejected = ImportRow.objects.filter(batch=batch, outcome="rejected")
    return {each.number: each.problems[0]["reason"] for each in rejected}


def outcomes(batch: ImportBatch) -> dict[int, str]:
    return dict(ImportRow.objects.filter(batch=batch).values_list("number", "outcome"))


def test_every_statement_is_new_a_standing_or_rejected_with_its_reason(planner):
    batch = tried(planner)
    assert phase(batch) == State.TRIED
    assert batch.counts["new"] == 6
    assert (batch.counts["rejected"], batch.counts["standing"] + batch.counts.get("same", 0)) == (5, 2)
    said = reasons(batch)
    assert sorted(said) == [10, 11, 12, 13, 14]
    assert "choose one for this word in the mapping" in said[10]
    assert "not a country" in said[11]
    assert "31/02/2025" in said[12]
    assert "above the stated high" in said[13]
    assert "maybe" in said[14]


def test_a_dry_run_writes_nothing(planner):
    tried(planner)
    assert not Pledge.objects.exists()


def test_whatever_its_word_a_statement_enters_as_signalled_and_is_in_no_sum(planner):
    batch = committed(planner)
    assert phase(batch) == State.COMMITTED
    pledges = Pledge.objects.filter(batch=batch)
    assert {(p.status, p.quantity, p.tier) for p in pledges} == {("signalled", None, Tier.PUBLIC)}
    assert pledges.count() == 6


def test_stated_figures_are_kept_as_they_were_said(planner):
    batch = committed(planner)
    group = Pledge.objects.get(pk=row(batch, 3).target_id)
    assert (group.stated_low, group.stated_high, group.stated_on) == (600, 800, date(2025, 5, 20))
    unofficial = Pledge.objects.get(pk=row(batch, 6).target_id)
    assert (unofficial.stated_low, unofficial.stated_high) == (None, 9000)
    assert "not officially confirmed" in unofficial.note
    assert unofficial.source.startswith("Unofficial")


def test_a_figure_in_another_unit_stays_in_the_text(planner):
    pledge = Pledge.objects.get(pk=row(committed(planner), 4).target_id)
    assert (pledge.stated_low, pledge.stated_high) == (None, None)
    assert "up to 1 (company); not converted to persons" in pledge.note


def test_a_month_is_not_a_day_and_the_note_says_so(planner):
    pledge = Pledge.objects.get(pk=row(committed(planner), 4).target_id)
    assert pledge.stated_on == date(2025, 5, 1)
    assert "2025-05; the day is not given" in pledge.note


def test_a_condition_is_matched_where_it_can_mean_no_other_and_else_kept_in_words(planner):
    ceasefire = a_condition("Ceasefire in force", kind="ceasefire")
    batch = committed(planner)
    group = Pledge.objects.get(pk=row(batch, 3).target_id)
    assert list(group.conditions.all()) == [ceasefire]
    assert "a vote at home" in group.note
    assert any("a vote at home" in remark for remark in batch.counts["remarks"])


def test_two_conditions_of_a_kind_are_not_guessed_between(planner):
    a_condition("Ceasefire in force", kind="ceasefire")
    a_condition("Peace agreement", kind="ceasefire")
    first = Pledge.objects.get(pk=row(committed(planner), 2).target_id)
    assert not first.conditions.exists()


def test_a_condition_stricter_than_the_pledge_is_not_tied_to_it(planner):
    a_condition("Ceasefire in force", kind="ceasefire", tier=Tier.PLANNING)
    batch = committed(planner)
    assert phase(batch) == State.COMMITTED
    assert not Pledge.objects.get(pk=row(batch, 3).target_id).conditions.exists()


def test_a_later_statement_is_offered_as_superseding_the_earlier_and_only_when_ticked(planner):
    batch = tried(planner)
    offer = row(batch, 3).values["offer"]
    assert offer["label"].startswith("Supersedes row 2")
    assert "offer" not in row(batch, 4).values  # "May 2025" may be before or after 20 May
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    assert not Pledge.objects.exclude(superseded_by=None).exists()


def test_a_ticked_offer_supersedes_and_undo_brings_the_earlier_back(planner):
    batch = tried(planner)
    ids = list(ImportRow.objects.filter(batch=batch, outcome="new").values_list("pk", flat=True))
    batch = staging.tick(
        batch.pk, shown=ids, approved=ids, offers=[row(batch, 3).pk], by=planner, based_on=batch.version
    )
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    first, group = (Pledge.objects.get(pk=row(batch, number).target_id) for number in (2, 3))
    assert first.superseded_by == group
    batch = done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert phase(batch) == State.UNDONE
    assert not Pledge.objects.exists()


def test_a_stored_statement_is_offered_too_and_stands_again_after_the_undo(planner):
    old = a_pledge(None, nation="FR", status="signalled", stated_on=date(2025, 1, 1))
    batch = tried(planner)
    assert f"P{old.pk}" in row(batch, 2).values["offer"]["label"]
    one = row(batch, 2).pk
    ids = list(ImportRow.objects.filter(batch=batch, outcome="new").values_list("pk", flat=True))
    batch = staging.tick(batch.pk, shown=ids, approved=[one], offers=[one], by=planner, based_on=batch.version)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    old.refresh_from_db()
    assert old.superseded_by_id == row(batch, 2).target_id
    done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    old.refresh_from_db()
    assert (old.superseded_by_id, old.superseded_tier) == (None, None)


def test_who_declined_is_no_pledge_and_changes_a_standing_only_when_approved(planner):
    Nation.objects.filter(pk__in=["PL", "CA"]).update(standing="participant")
    batch = tried(planner)
    declined = row(batch, 9)
    assert (declined.outcome, declined.approved) == ("standing", False)
    assert "may not be all" in declined.problems[0]["reason"]
    ids = list(ImportRow.objects.filter(batch=batch).values_list("pk", flat=True))
    batch = staging.tick(batch.pk, shown=ids, approved=[declined.pk], offers=[], by=planner, based_on=batch.version)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    poland = Nation.objects.get(pk="PL")
    assert poland.standing == "declined"
    assert "https://example.org/news/8" in poland.standing_source
    assert Nation.objects.get(pk="CA").standing == "participant"
    assert not Pledge.objects.exists()
    done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert Nation.objects.get(pk="PL").standing == "participant"


def test_the_same_file_again_gives_the_same_pledges_once(planner):
    first = committed(planner)
    second = tried(planner)
    assert second.pk != first.pk
    assert reasons(second) == reasons(first)
    assert {outcomes(second)[number] for number in range(2, 8)} == {"same"}
    assert "new" not in second.counts


def test_what_people_changed_since_is_theirs_when_the_file_comes_again(planner):
    batch = committed(planner)
    pledge = Pledge.objects.get(pk=row(batch, 3).target_id)
    declaring.revise(pledge.pk, {"quantity": 700, "what": "A battle group"}, by=planner, based_on=pledge.version)
    assert outcomes(tried(planner))[3] == "same"


def test_what_was_undone_is_new_when_the_file_comes_again(planner):
    batch = committed(planner)
    done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert tried(planner).counts["new"] == 6


def test_undo_leaves_what_was_touched_since_and_takes_it_when_it_is_chosen(planner):
    batch = committed(planner)
    pledge = Pledge.objects.get(pk=row(batch, 3).target_id)
    declaring.revise(pledge.pk, {"quantity": 700}, by=planner, based_on=pledge.version)
    [(touched, why)] = staging.touched(batch, by=planner)
    assert (touched.number, "changed since" in why) == (3, True)
    batch = done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert list(Pledge.objects.all()) == [pledge]
    assert (batch.counts["taken_back"], batch.counts["left"]) == (5, 1)


def test_undo_leaves_a_tombstone_for_each_pledge_it_deletes(planner):
    batch = committed(planner)
    ids = {str(pk) for pk in Pledge.objects.values_list("pk", flat=True)}
    done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert ids <= set(Tombstone.objects.filter(kind="pledges_pledge").values_list("object_id", flat=True))


def test_an_undo_that_is_chosen_takes_an_allocated_pledge_with_its_allocation(planner):
    batch = committed(planner, OWN, **OWN_KIND)
    pledge = Pledge.objects.get(external_id="A1")
    allocating.allocate(pledge.pk, a_requirement(100).pk, 50, by=planner)
    [(touched, why)] = staging.touched(batch, by=planner)
    assert "allocated" in why or "changed" in why
    done(staging.undo(batch.pk, also=[touched.pk], by=planner, based_on=batch.version))
    assert not Pledge.objects.exists()


OWN = b"""id,nation,capability,what,quantity,from,status
A1,FR,infantry,A company,150,2027-03-01,offered
A2,GB,infantry,Another company,100-120,2027-04,signalled
A3,FR,infantry,Too far up the ladder,10,,committed
"""
OWN_KIND = {
    "profile": "pledges",
    "words": {},
    "columns": {
        "id": "external_id",
        "nation": "nation",
        "capability": "capability",
        "what": "what",
        "quantity": "stated",
        "from": "available_from",
        "status": "status",
    },
}


def test_pledges_handed_in_enter_as_offered_with_the_exact_figure_planned(planner):
    batch = committed(planner, OWN, **OWN_KIND)
    first, second = Pledge.objects.order_by("external_id")
    assert (first.status, first.quantity, first.tier) == ("offered", 150, Tier.COALITION)
    assert (second.status, second.stated_low, second.stated_high, second.quantity) == ("signalled", 100, 120, None)
    assert (second.available_from, "2027-04; the day is not given" in second.note) == (date(2027, 4, 1), True)
    assert "then climbs" in reasons(batch)[4]


def test_an_officer_imports_for_their_own_nation_only(planner):
    officer = a_member(Role.OFFICER, "FR")
    with acting_as(officer):
        batch = tried(officer, OWN, **OWN_KIND)
        assert outcomes(batch) == {2: "new", 3: "rejected", 4: "rejected"}
        assert "your own nation only" in reasons(batch)[3]
        done(staging.commit(batch.pk, by=officer, based_on=batch.version))
        assert [p.nation_id for p in Pledge.objects.all()] == ["FR"]


def test_an_officer_may_not_import_a_standing(planner):
    Nation.objects.filter(pk="PL").update(standing="participant")
    officer = a_member(Role.OFFICER, "PL")
    with acting_as(officer):
        assert "only planners keep" in reasons(tried(officer))[9]


def test_a_row_that_changed_in_the_file_changes_only_what_the_file_changed(planner):
    first = committed(planner, OWN, **OWN_KIND)
    pledge = Pledge.objects.get(external_id="A1")
    declaring.revise(pledge.pk, {"notice_days": 10}, by=planner, based_on=pledge.version)
    batch = tried(planner, OWN.replace(b"A company,150", b"A company,180"), **OWN_KIND)
    changed = row(batch, 2)
    assert [change[0] for change in changed.values["changes"]] == ["Stated, low", "Stated, high", "Quantity"]
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    pledge.refresh_from_db()
    assert (pledge.quantity, pledge.notice_days, pledge.batch_id) == (180, 10, batch.pk)
    done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    pledge.refresh_from_db()
    assert (pledge.quantity, pledge.stated_low, pledge.notice_days, pledge.batch_id) == (
        Decimal(150),
        150,
        10,
        first.pk,
    )


def test_a_target_that_changed_since_the_dry_run_stops_the_whole_commit(planner):
    committed(planner, OWN, **OWN_KIND)
    changed = OWN.replace(b"A company,150", b"A company,180") + b"A4,FR,infantry,A platoon,30,,offered\n"
    batch = tried(planner, changed, **OWN_KIND)
    pledge = Pledge.objects.get(external_id="A1")
    declaring.revise(pledge.pk, {"notice_days": 10}, by=planner, based_on=pledge.version)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    assert phase(batch) == State.TRIED
    assert "Row 2: " in staging.trouble(batch)
    assert not Pledge.objects.filter(external_id="A4").exists()
    batch = done(staging.try_again(batch.pk, by=planner, based_on=batch.version))
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    assert phase(batch) == State.COMMITTED
    assert Pledge.objects.get(external_id="A1").quantity == 180


def test_the_same_file_committed_from_two_batches_is_written_once(planner):
    other = a_member(Role.PLANNER)
    one = tried(planner, OWN, **OWN_KIND)
    with acting_as(other):
        two = tried(other, OWN, **OWN_KIND)
        two = staging.commit(two.pk, by=other, based_on=two.version)
    assert one.pk != two.pk
    done(staging.commit(one.pk, by=planner, based_on=one.version))
    two = done(two)
    assert phase(two) == State.TRIED
    assert "imported by somebody else" in staging.trouble(two)
    assert Pledge.objects.count() == 2

"""The feed of changes: whoever replays it from nothing has exactly what they may see, however it came about."""

import random
import threading
import time

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import OperationalError, connection
from django.test import Client

from coalition import changes
from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.api_urls import CHANGING
from coalition.editing import Refused
from coalition.models import Condition, Nation, Sector, User
from pledges import allocating, declaring, ladder
from pledges.models import Allocation, Pledge, Requirement
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    a_sector,
    an_allocation,
    the_operation,
)

FEED = "/api/v1/changes/"
KEYS = {kind: "id" if view.lookup_field == "pk" else view.lookup_field for kind, view in CHANGING.items()}


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def get(client: Client, address: str) -> dict:
    answer = client.get(address)
    assert answer.status_code == 200, answer.content
    return answer.json()


def let_others_end(seconds: float = 60) -> None:
    """Wait until all that was open is over: tests beside this one keep transactions open on the same server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        mine = cursor.fetchone()[0]
    deadline = time.monotonic() + seconds
    while changes.settled_before() <= mine:
        assert time.monotonic() < deadline, "A transaction beside this test did not end."
        time.sleep(0.05)


class Replay:
    """Somebody's copy, kept true by the feed alone."""

    def __init__(self, client: Client, limit: int = 7):
        self.client, self.address, self.copy = client, f"{FEED}?limit={limit}", {}

    def rows(self) -> dict:
        """The copy by kind and by what stands in a row's address."""
        return {(kind, str(row[KEYS[kind]])): row for (kind, _), row in self.copy.items()}

    def go_on(self) -> int:
        """Follow the feed to where it ends for now; return how many changes came."""
        came, more = 0, True
        while more:
            page = get(self.client, self.address)
            for change in page["results"]:
                key = (change["kind"], change["id"])
                if change["change"] == "upsert":
                    self.copy[key] = change["object"]
                else:
                    self.copy.pop(key, None)
            came += len(page["results"])
            self.address, more = page["next"], page["more"]
        return came


def everything_seen(client: Client) -> dict:
    """What the resources themselves list, without what is worked out."""
    seen = {}
    for kind, viewset in CHANGING.items():
        address = f"/api/v1/{kind}/?limit=1000"
        for row in get(client, address)["results"]:
            seen[kind, str(row[KEYS[kind]])] = {
                name: value for name, value in row.items() if name not in viewset.worked_out
            }
    return seen


@pytest.fixture
def plan(db):
    with acting_as(SYSTEM):
        the_operation(), a_capability(), a_nation("FR"), a_nation("GB")


def member(role: str, nation: str | None = None) -> User:
    with acting_as(SYSTEM):
        return a_member(role, nation)


def test_what_was_open_is_not_served_and_comes_when_it_is_over(committed):
    with acting_as(SYSTEM):
        the_operation(), a_capability()
        user = a_member(Role.ANALYST)
        old = a_pledge()
    let_others_end()
    replay = Replay(client_of(user))
    replay.go_on()
    assert ("pledges", str(old.pk)) in replay.copy

    written, go_on = threading.Event(), threading.Event()

    def late():
        with acting_as(SYSTEM):
            a_pledge(what="Late") and written.set()
            go_on.wait(20)
        connection.close()

    writer = threading.Thread(target=late)
    writer.start()
    written.wait(20)
    with acting_as(SYSTEM):
        early = a_pledge(what="Early")  # a later transaction that commits first
    replay.go_on()
    assert ("pledges", str(early.pk)) not in replay.copy  # it waits, or the late one would be skipped
    go_on.set()
    writer.join()
    let_others_end()
    replay.go_on()
    assert {row["what"] for (kind, _), row in replay.copy.items() if kind == "pledges"} >= {"Late", "Early"}
    assert replay.rows() == everything_seen(replay.client)
    assert replay.go_on() == 0


def test_what_may_no_longer_be_seen_is_deleted_and_stays_for_those_who_may(committed):
    with acting_as(SYSTEM):
        the_operation(), a_capability()
        people = {role: a_member(role, nation) for role, nation in (("analyst", None), ("planner", None))}
        people["own"], people["other"] = a_member(Role.OFFICER, "FR"), a_member(Role.OFFICER, "GB")
        raised, gone, sector = a_pledge(nation="FR"), a_pledge(nation="FR"), a_sector()
        secret = a_pledge(nation="FR", tier=Tier.PLANNING)
    let_others_end()
    replays = {name: Replay(client_of(user)) for name, user in people.items()}
    for replay in replays.values():
        replay.go_on()
    with acting_as(SYSTEM):
        Pledge.objects.filter(pk=raised.pk).update(tier=Tier.PLANNING)
        Pledge.objects.filter(pk=gone.pk).delete()
        Sector.objects.filter(pk=sector.pk).delete()  # its address has a code
        Pledge.objects.filter(pk=secret.pk).delete()
    let_others_end()
    told = {name: get(replay.client, replay.address)["results"] for name, replay in replays.items()}
    deletions = {
        name: {change["id"] for change in page if change["change"] == "delete" and change["kind"] == "pledges"}
        for name, page in told.items()
    }
    ids = [str(pledge.pk) for pledge in (raised, gone, secret)]
    assert deletions == {
        "analyst": set(ids[:2]),
        "other": set(ids[:2]),
        "own": set(ids[1:]),
        "planner": set(ids[1:]),
    }
    for replay in replays.values():
        replay.go_on()
        assert replay.rows() == everything_seen(replay.client)


def change_something(dice: random.Random, by: list[User]) -> None:
    """One random write, as a person would make it through the domain, or as the system does."""
    pledge = dice.choice([*Pledge.objects.all()])
    person = dice.choice(by)
    match dice.randrange(10):
        case 0 | 1:
            a_pledge(nation=dice.choice(["FR", "GB"]), tier=dice.choice(list(Tier)))
        case 2:
            declaring.revise(pledge.pk, {"what": f"Now {dice.random()}"}, by=person, based_on=None)
        case 3:
            caveat = {"kind": "task", "text": str(dice.random())}
            declaring.revise(pledge.pk, {"caveats": [caveat]}, by=person, based_on=None)
        case 4:
            step = dice.choice(list(ladder.STEPS))
            ladder.take(pledge.pk, step, by=person, reason="Tried", based_on=None)
        case 5:
            Pledge.objects.filter(pk=pledge.pk).update(tier=dice.choice(list(Tier)))
        case 6:
            line = dice.choice([*Requirement.objects.all()])
            allocating.allocate(pledge.pk, line.pk, 1, by=person)
        case 7:
            Requirement.objects.filter(pk=dice.choice([*Requirement.objects.all()]).pk).update(
                tier=dice.choice(list(Tier)), note=str(dice.random())
            )
        case 8:
            Allocation.objects.filter(pk__in=[*Allocation.objects.values_list("pk", flat=True)[:1]]).delete()
            Pledge.objects.filter(pk=pledge.pk).update(requirement=dice.choice([*Requirement.objects.all()]))
        case 9:
            Nation.objects.filter(pk="FR").update(focal_point=str(dice.random()))
            Condition.objects.update(note=str(dice.random()))


def test_replayed_from_nothing_while_others_write_the_copy_is_what_one_may_see(committed):
    """Four writers, four readers of different sight: every copy ends equal to what the resources list."""
    with acting_as(SYSTEM):
        the_operation(), a_capability(), a_sector()
        planners = [a_member(Role.PLANNER), a_member(Role.PLANNER)]
        readers = [a_member(Role.ANALYST), a_member(Role.OFFICER, "FR"), a_member(Role.OFFICER, "GB"), planners[0]]
        gate = a_condition()
        for nation in ("FR", "GB"):
            a_pledge(nation=nation, conditions=(gate,))
        an_allocation(a_pledge(), a_requirement())
        a_requirement()
    over = threading.Event()
    broken: list[Exception] = []

    def write(seed: int):
        dice = random.Random(seed)
        for _ in range(25):
            try:
                with acting_as(SYSTEM):
                    change_something(dice, planners)
                written.append(seed)
            except (Refused, PermissionDenied, ValidationError, IndexError, OperationalError):
                pass  # a step that was not allowed then, or two writers at once: nothing was written
            except Exception as error:
                broken.append(error)
        connection.close()

    def read(replay: Replay):
        try:
            while not over.is_set():
                replay.go_on()
        except Exception as error:
            broken.append(error)
        finally:
            connection.close()

    written: list[int] = []
    replays = [Replay(client_of(user), limit=limit) for user, limit in zip(readers, (3, 7, 11, 50), strict=True)]
    reading = [threading.Thread(target=read, args=(replay,)) for replay in replays]
    writing = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in [*reading, *writing]:
        thread.start()
    for thread in writing:
        thread.join()
    over.set()
    for thread in reading:
        thread.join()
    assert broken == []
    assert len(written) >= 40
    let_others_end()
    for replay in replays:
        replay.go_on()
        assert replay.rows() == everything_seen(replay.client)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("cursor=abc", "cursor"),
        ("limit=0", "limit"),
        ("limit=1000000000", "limit"),
        ("kind=wizards", "kind"),
        ("since=2027-01-01", "since"),
    ],
)
def test_a_feed_that_cannot_be_read_is_refused_naming_what_is_wrong(plan, query, named):
    answer = client_of(member(Role.ANALYST)).get(f"{FEED}?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [named])


@pytest.mark.django_db
def test_a_stranger_gets_no_feed(client):
    assert client.get(FEED).status_code == 401


def test_only_the_kinds_asked_for_come(committed):
    with acting_as(SYSTEM):
        the_operation(), a_capability()
        user = a_member(Role.ANALYST)
        a_pledge()
    let_others_end()
    kinds = {change["kind"] for change in get(client_of(user), f"{FEED}?kind=nations,pledges")["results"]}
    assert kinds == {"nations", "pledges"}

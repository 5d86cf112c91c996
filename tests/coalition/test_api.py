"""Who sees what over the API, and what every resource has in common. Built over the router: none can be forgotten."""

import csv
import io
from collections import defaultdict
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from coalition.access import SYSTEM, Role, Tier, acting_as, become
from coalition.api_urls import router
from coalition.models import ApiToken, Job
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_party,
    a_pledge,
    a_provision,
    a_report,
    a_requirement,
    a_sector,
    a_source,
    a_term,
    an_agreement,
    an_allocation,
    an_import,
    an_incident,
    the_operation,
)

pytestmark = pytest.mark.django_db

P, C, S = Tier.PUBLIC, Tier.COALITION, Tier.PLANNING
ALL, UP_TO_COALITION = {P, C, S}, {P, C}

# Who reads: name → (role, nation). The officer's own nation is France; the rows belong to France or the United Kingdom.
READERS = {
    "officer": (Role.OFFICER, "FR"),
    "monitor": (Role.MONITOR, None),
    "analyst": (Role.ANALYST, None),
    "analyst of France": (Role.ANALYST, "FR"),
    "planner": (Role.PLANNER, None),
    "administrator": (Role.ADMINISTRATOR, None),
}
HIGH = {"planner", "administrator"}
FRENCH = {"officer", "analyst of France"}


def by_tier(reader: str, own: bool) -> set[Tier]:
    return ALL if reader in HIGH else UP_TO_COALITION


def by_tier_and_nation(reader: str, own: bool) -> set[Tier]:
    return ALL if reader in HIGH or (own and reader in FRENCH) else UP_TO_COALITION


def everything(reader: str, own: bool) -> set[Tier]:
    return ALL


def only_high(reader: str, own: bool) -> set[Tier]:
    return ALL if reader in HIGH else set()


def nation_of(own: bool) -> str:
    return "FR" if own else "GB"


def provision_of(name: str, tier: int, own: bool):
    agreement = an_agreement(f"{name}-{tier}-{own}", tier=tier)
    return a_provision(str(agreement.provisions.count() + 1), agreement=agreement)


# Each resource: how one row of a tier, of France or not, is made (its id is returned), and which tiers a reader sees.
TABLE = {
    "nations": (lambda tier, own: a_nation(nation_of(own)).code, everything),
    "operations": (lambda tier, own: the_operation().code, everything),
    "sectors": (lambda tier, own: a_sector().code, everything),
    "capabilities": (lambda tier, own: a_capability().code, everything),
    "conditions": (lambda tier, own: a_condition(tier=tier, nation=a_nation(nation_of(own))).pk, by_tier),
    "requirements": (lambda tier, own: a_requirement(tier=tier).pk, by_tier),
    "pledges": (lambda tier, own: a_pledge(tier=tier, nation=nation_of(own)).pk, by_tier_and_nation),
    "allocations": (
        lambda tier, own: an_allocation(a_pledge(tier=tier, nation=nation_of(own)), a_requirement(tier=P)).pk,
        by_tier_and_nation,
    ),
    "jobs": (lambda tier, own: Job.objects.create(kind="trial").pk, only_high),
    "exports": (lambda tier, own: Job.objects.create(kind="export", arguments={}).pk, lambda reader, own: set()),
    "imports": (lambda tier, own: an_import().pk, only_high),
    "reports": (lambda tier, own: a_report(tier=tier).pk, by_tier),
    "incidents": (lambda tier, own: an_incident(tier=tier).pk, by_tier),
    "parties": (lambda tier, own: a_party().code, everything),
    "sources": (lambda tier, own: a_source().code, everything),
    "agreements": (lambda tier, own: an_agreement(f"pact-{tier}-{own}", tier=tier).code, by_tier),
    "provisions": (lambda tier, own: provision_of("duty", tier, own).pk, by_tier),
    "terms": (lambda tier, own: a_term(provision_of("term", tier, own)).pk, by_tier),
}
# Not rows but sums; what each tier sees of them: tests/pledges/test_pledges_api.py, tests/monitoring/test_trends.py.
ANSWERS = {"readiness", "reports/daily", "reports/hexes"}
LISTS = [name for name, _, _ in router.registry if name not in ANSWERS]

# Who may do what, on what they see: the readers who are let in. An officer, on rows of France only.
PLANNERS = {"planner", "administrator"}
WRITERS = PLANNERS | {"officer"}
MONITORS = PLANNERS | {"monitor"}
IMPORTERS = WRITERS | MONITORS
ANYWHERE = MONITORS  # theirs are not of one nation
WRITES = {
    ("nations", "partial_update"): PLANNERS,
    ("conditions", "create"): PLANNERS,
    ("conditions", "partial_update"): PLANNERS,
    ("requirements", "create"): PLANNERS,
    ("requirements", "partial_update"): PLANNERS,
    ("requirements", "destroy"): PLANNERS,
    ("pledges", "create"): WRITERS,
    ("pledges", "partial_update"): WRITERS,
    ("pledges", "offer"): WRITERS,
    ("pledges", "commit"): WRITERS,
    ("pledges", "verify"): PLANNERS,
    ("pledges", "deploy"): WRITERS,
    ("pledges", "arrive"): WRITERS,
    ("pledges", "end"): WRITERS,
    ("pledges", "withdraw"): WRITERS,
    ("pledges", "undo"): WRITERS,
    ("pledges", "confirm"): WRITERS,
    ("pledges", "supersede"): WRITERS,
    ("allocations", "create"): PLANNERS,
    ("allocations", "partial_update"): PLANNERS,
    ("allocations", "destroy"): PLANNERS,
    ("imports", "create"): IMPORTERS,
    ("imports", "map_columns"): IMPORTERS,
    ("imports", "try_again"): IMPORTERS,
    ("imports", "approve"): IMPORTERS,
    ("imports", "commit"): IMPORTERS,
    ("imports", "cancel"): IMPORTERS,
    ("imports", "undo"): IMPORTERS,
    ("reports", "create"): MONITORS,
    ("reports", "partial_update"): MONITORS,
    ("reports", "attach"): MONITORS,
    ("reports", "screen"): MONITORS,
    ("reports", "take_up"): MONITORS,
    ("reports", "duplicate"): MONITORS,
    ("reports", "out_of_scope"): MONITORS,
    ("reports", "undo"): MONITORS,
    ("reports", "take_back"): MONITORS,
    ("incidents", "create"): MONITORS,
    ("incidents", "partial_update"): MONITORS,
    ("incidents", "merge"): MONITORS,
    ("incidents", "split"): MONITORS,
    ("incidents", "take_back"): MONITORS,
    ("incidents", "judge"): MONITORS,
    ("incidents", "verify"): MONITORS,
    ("incidents", "respond"): MONITORS,
    ("agreements", "create"): PLANNERS,
    ("agreements", "partial_update"): PLANNERS,
    ("agreements", "destroy"): PLANNERS,
    ("provisions", "create"): PLANNERS,
    ("provisions", "partial_update"): PLANNERS,
    ("provisions", "destroy"): PLANNERS,
    ("terms", "create"): PLANNERS,
    ("terms", "partial_update"): PLANNERS,
    ("terms", "destroy"): PLANNERS,
}
KINDS_OF_ROWS = [(C, True), (C, False), (S, False)]  # one's own, another nation's, hidden
# No version is asked for, but a better body, or another moment.
UNDER_ANOTHER = {
    ("reports", "attach"): 415,
    ("incidents", "respond"): 400,
    ("imports", "create"): 415,
    ("imports", "cancel"): 409,
}


# The import of the table holds pledges. What a new one holds stands in its body: tests/coalition/test_imports_api.py.
ASKED_FOR_LATER = defaultdict(tuple, {"imports": ("create",)})
WRITTEN_WITH = {
    ApiToken.Scope.LOG_PLEDGES: ("pledges", "imports"),
    ApiToken.Scope.FILE_REPORTS: ("reports", "incidents"),
}


def logged_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def reader(name: str) -> Client:
    role, nation = READERS[name]
    with acting_as(SYSTEM):
        return logged_in(a_member(role, nation))


def id_of(name: str, row: dict):
    viewset = next(viewset for prefix, viewset, _ in router.registry if prefix == name)
    return row[viewset.lookup_field if viewset.lookup_field != "pk" else "id"]


def ids_in(client: Client, name: str) -> list[str]:
    answer = client.get(f"/api/v1/{name}/")
    assert answer.status_code == 200, answer.content
    return [str(id_of(name, row)) for row in answer.json()["results"]]


# --- Writing ----------------------------------------------------------------------------------------


def operations() -> dict[tuple[str, str], tuple[str, str]]:
    """Return every write of the router: (resource, action) → (method, address with {pk}). POSTs that ask are none."""
    found = {}
    for name, viewset, _ in router.registry:
        for route in router.get_routes(viewset):
            for method, action in route.mapping.items():
                if method != "get" and hasattr(viewset, action) and action not in getattr(viewset, "asks", ()):
                    tail = (
                        route.url.removeprefix("^{prefix}").replace("{lookup}", "{pk}").replace("{trailing_slash}$", "")
                    )
                    found[name, action] = (method, f"/api/v1/{name}{tail}/")
    return found


def test_every_resource_and_every_write_is_in_the_tables():
    assert {name for name, _, _ in router.registry} == set(TABLE) | ANSWERS
    assert set(operations()) == set(WRITES)
    asking = {(name, action) for name, viewset, _ in router.registry for action in getattr(viewset, "asks", ())}
    assert asking == {("readiness", "what_if")}  # who may ask is tested in tests/pledges/test_what_if.py


def status_for(who: str, name: str, action: str, tier: int, mine: bool, let_in: int) -> int:
    """Return what a writer of such a row is answered; a create is about no row."""
    if who not in WRITES[name, action]:
        return 403
    if action == "create":
        return let_in
    if tier not in TABLE[name][1](who, mine):
        return 404
    return let_in if mine or who in ANYWHERE else 403


@pytest.mark.parametrize("who", READERS)
def test_who_may_write_what(who):
    """Let in is whoever is asked for a version (428) or a better body (400); 403: not yours, 404: not there for you."""
    with acting_as(SYSTEM):
        rows = {
            name: [str(TABLE[name][0](tier, mine)) for tier, mine in KINDS_OF_ROWS]
            for name in {name for name, _ in WRITES}
        }
    client = reader(who)

    def status(name: str, action: str, pk: str) -> int:
        method, address = operations()[name, action]
        return getattr(client, method)(address.format(pk=pk), {}, content_type="application/json").status_code

    for name, action in WRITES:
        let_in = UNDER_ANOTHER.get((name, action), 400 if action == "create" else 428)

        seen = [status(name, action, pk) for pk in rows[name]]
        expected = [status_for(who, name, action, tier, mine, let_in) for tier, mine in KINDS_OF_ROWS]
        assert (name, action, seen) == (name, action, expected)


def test_strangers_and_tokens_of_another_scope_write_nothing():
    with acting_as(SYSTEM):
        planner = a_member(Role.PLANNER)
        rows = {name: TABLE[name][0](P, True) for name in {name for name, _ in WRITES}}
    for (name, action), (method, address) in operations().items():
        address = address.format(pk=rows[name])
        assert getattr(Client(), method)(address, {}, content_type="application/json").status_code == 401
        for scope in ApiToken.Scope:
            with a_token(planner, scope=scope) as (_, client):
                status = getattr(client, method)(address, {}, content_type="application/json").status_code
                may = name in WRITTEN_WITH.get(scope, ()) or (scope in WRITTEN_WITH and action in ASKED_FOR_LATER[name])
                assert (name, action, scope, status == 403) == (name, action, scope, not may)


def test_a_session_needs_its_csrf_token():
    with acting_as(SYSTEM):
        client = Client(enforce_csrf_checks=True)
        client.force_login(a_member(Role.PLANNER))
    answer = client.post("/api/v1/pledges/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "CSRF" in answer.json()["detail"]


# --- Filters ----------------------------------------------------------------------------------------

VALUES = ["", "P²", "99999999999999999999999", "%00", "%ED%A0%80", "true", "2027-03-01", "2027-02-30", "FR", "infantry"]


def parameters():
    for name, viewset, _ in router.registry:
        for known in viewset.filterset_class.base_filters if hasattr(viewset, "filterset_class") else ():
            yield name, known, viewset.filterset_class.base_filters[known]
        for action, query in viewset.queries.items():
            if getattr(getattr(viewset, action), "detail", False):
                continue  # under a row's address, and tested with it
            for known in query().fields:
                yield (name if action == "list" else f"{name}/{action}"), known, None


@pytest.mark.parametrize("name", sorted({name for name, _, _ in parameters()}))
def test_no_filter_is_a_fault_of_ours(name):
    with acting_as(SYSTEM):
        a_pledge()
    client = reader("officer")
    for resource, known, each in parameters():
        if resource != name:
            continue
        given = each.extra.get("choices", ()) if each else ()
        given = getattr(given, "choices", given)
        given = given() if callable(given) else given
        choices = [value for value, _ in given]
        for value in [*VALUES, *choices[:1], *choices[-1:]]:
            answer = client.get(f"/api/v1/{name}/?{known}={value}")
            assert answer.status_code in ((200,) if value in choices else (200, 400, 403)), (known, value)


# --- Visibility -------------------------------------------------------------------------------------


@pytest.fixture(params=["both nets", "querysets alone", "policies alone"])
def nets(request, monkeypatch):
    """Run the test three times: as it is, with the row policies open, and with ``visible_to`` letting everything by."""
    if request.param == "querysets alone":

        def become_unbound(user, why=""):
            actor = become(user, why)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('app.tier', '3', true)")
            return actor

        monkeypatch.setattr("coalition.access.become", become_unbound)
        monkeypatch.setattr("coalition.tokens.become", become_unbound)
    if request.param == "policies alone":
        for viewset in (viewset for name, viewset, _ in router.registry if name in LISTS):
            monkeypatch.setattr(type(viewset.queryset), "visible_to", lambda rows, user: rows.all())


@pytest.mark.parametrize("who", READERS)
def test_lists_details_and_files_show_what_a_reader_may_see_and_nothing_else(nets, who):
    with acting_as(SYSTEM):
        rows = {
            (name, own): {tier: str(TABLE[name][0](tier, own)) for tier in Tier}
            for name in LISTS
            for own in (True, False)
        }
    client = reader(who)
    for (name, own), made in rows.items():
        expected = {made[tier] for tier in TABLE[name][1](who, own)}
        listed = set(ids_in(client, name)) & set(made.values())
        exported = client.get(f"/api/v1/{name}/?format=csv").getvalue().decode()
        in_file = {str(id_of(name, row)) for row in csv.DictReader(io.StringIO(exported))} & set(made.values())
        opened = {pk: client.get(f"/api/v1/{name}/{pk}/").status_code for pk in made.values()}
        assert (name, own, listed) == (name, own, expected)
        assert (name, own, in_file) == (name, own, expected)
        assert (name, own, opened) == (name, own, {pk: 200 if pk in expected else 404 for pk in made.values()})


def test_strangers_and_people_without_membership_stay_outside(django_user_model):
    with acting_as(SYSTEM):
        rows = {name: TABLE[name][0](P, True) for name in LISTS}
        client = logged_in(django_user_model.objects.create_user("nobody", "nobody@example.org"))
    addresses = ["/api/v1/", "/api/v1/schema/", *(f"/api/v1/{name}/" for name, _, _ in router.registry)]
    for name, pk in rows.items():
        addresses += [f"/api/v1/{name}/?format=csv", f"/api/v1/{name}/{pk}/"]
    for address in addresses:
        assert (address, Client().get(address).status_code) == (address, 401)
        assert (address, client.get(address).status_code) == (address, 403)


def test_a_row_does_not_name_what_its_reader_may_not_see(nets):
    with acting_as(SYSTEM):
        line, own = a_requirement(tier=S), a_pledge(nation="FR", tier=C)
        hidden = a_pledge(nation="GB", tier=S)
        own.requirement, own.superseded_by = line, hidden
        own.save()
    row = reader("officer").get(f"/api/v1/pledges/{own.pk}/").json()
    assert (row["requirement"], row["superseded_by"]) == (None, None)
    row = reader("planner").get(f"/api/v1/pledges/{own.pk}/").json()
    assert (row["requirement"], row["superseded_by"]) == (line.pk, hidden.pk)


def test_a_filter_cannot_ask_about_what_is_hidden():
    with acting_as(SYSTEM):
        hidden, pledge = a_condition(tier=S), a_pledge(tier=P)
        pledge.conditions.set([hidden])
    absent = hidden.pk + 1000
    client = reader("analyst")
    asked = [client.get(f"/api/v1/pledges/?condition={pk}") for pk in (hidden.pk, absent)]
    assert [answer.status_code for answer in asked] == [400, 400]
    assert asked[0].content.replace(b"%d" % hidden.pk, b"") == asked[1].content.replace(b"%d" % absent, b"")
    assert client.get(f"/api/v1/pledges/{pledge.pk}/").json()["conditions"] == []


def test_a_probability_is_for_the_planning_tier_only():
    with acting_as(SYSTEM):
        pk = a_condition(tier=P, probability=0.37).pk
    for who in READERS:
        client = reader(who)
        assert ("probability" in client.get(f"/api/v1/conditions/{pk}/").json()) == (who in HIGH)
        header = client.get("/api/v1/conditions/?format=csv").getvalue().decode().splitlines()[0]
        assert ("probability" in header.split(",")) == (who in HIGH)
        assert ("certainty_offered" in client.get("/api/v1/operations/").json()["results"][0]) == (who in HIGH)


# --- Tokens -----------------------------------------------------------------------------------------


@contextmanager
def a_token(user, **fields):
    with acting_as(SYSTEM):
        token, secret = ApiToken.objects.create(user, **fields)
    yield token, Client(headers={"Authorization": f"Token {secret}"})


def test_a_token_sees_what_its_owner_sees():
    with acting_as(SYSTEM):
        officer = a_member(Role.OFFICER, "FR")
        own, other = a_pledge(nation="FR", tier=S), a_pledge(nation="GB", tier=S)
    with a_token(officer) as (_, client):
        assert client.get(f"/api/v1/pledges/{own.pk}/").status_code == 200
        assert client.get(f"/api/v1/pledges/{other.pk}/").status_code == 404
        assert ids_in(client, "pledges") == [str(own.pk)]
        assert str(own.pk) in client.get("/api/v1/pledges/?format=csv").getvalue().decode()


def test_a_token_notes_its_use_once_a_minute():
    with acting_as(SYSTEM):
        analyst = a_member(Role.ANALYST)
    with a_token(analyst) as (token, client):
        client.get("/api/v1/nations/")
        token.refresh_from_db()
        first = token.last_used_at
        client.get("/api/v1/nations/")
        token.refresh_from_db()
        assert first is not None
        assert token.last_used_at == first
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=timezone.now() - timedelta(minutes=2))
        client.get("/api/v1/nations/")
        token.refresh_from_db()
        assert token.last_used_at >= first


def test_a_token_ends_with_the_membership_or_the_person_or_its_time():
    with acting_as(SYSTEM):
        analyst = a_member(Role.ANALYST)
    with a_token(analyst) as (_, client):
        assert client.get("/api/v1/nations/").status_code == 200
        with acting_as(SYSTEM):
            analyst.is_active = False
            analyst.save()
        answer = client.get("/api/v1/nations/")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token")
        with acting_as(SYSTEM):
            analyst.is_active = True
            analyst.save()
            analyst.membership.delete()
        assert client.get("/api/v1/nations/").status_code == 403
        assert client.get("/api/v1/nations/?format=csv").status_code == 403
    with acting_as(SYSTEM):
        other = a_member(Role.ANALYST)
    with a_token(other, expiry=timedelta(seconds=-1)) as (_, client):
        assert client.get("/api/v1/nations/").status_code == 401


@pytest.mark.parametrize("secret", ["", "x", "x y", "f" * 64, "\xe9" * 40, "0" * 5000, "%00" * 10])
def test_a_made_up_token_is_refused(secret):
    answer = Client(headers={"Authorization": f"Token {secret}"}).get("/api/v1/nations/")
    assert answer.status_code == 401
    assert set(answer.json()) == {"type", "code", "detail", "errors"}


# --- Pages ------------------------------------------------------------------------------------------


def pages(client: Client, address: str) -> list[list[dict]]:
    found = []
    while address:
        answer = client.get(address).json()
        found.append(answer["results"])
        address = answer["next"]
    return found


@pytest.mark.parametrize(
    "ordering", ["id", "-id", "quantity", "-quantity", "available_from", "-available_from", "-nation", "-changed_at"]
)
def test_pages_by_any_order_hold_every_row_once_there_and_back(ordering):
    with acting_as(SYSTEM):
        for number in range(13):
            day = None if number % 4 == 0 else timezone.now().date() + timedelta(days=number % 3)
            a_pledge(None if number % 5 == 0 else number % 3, available_from=day, nation="FR" if number % 2 else "GB")
    client = reader("planner")
    whole = [row["id"] for row in client.get(f"/api/v1/pledges/?ordering={ordering}").json()["results"]]
    forth = [[row["id"] for row in page] for page in pages(client, f"/api/v1/pledges/?ordering={ordering}&limit=4")]
    assert [len(page) for page in forth] == [4, 4, 4, 1]
    assert list(chain(*forth)) == whole
    last = client.get(f"/api/v1/pledges/?ordering={ordering}&limit=4").json()
    while last["next"]:
        last = client.get(last["next"]).json()
    back = [[row["id"] for row in last["results"]]]
    while last["previous"]:
        last = client.get(last["previous"]).json()
        back.insert(0, [row["id"] for row in last["results"]])
    assert list(chain(*back)) == whole


def test_a_row_that_comes_or_goes_meanwhile_moves_no_other_across_the_cut():
    with acting_as(SYSTEM):
        rows = [a_pledge() for _ in range(6)]
    client = reader("planner")
    first = client.get("/api/v1/pledges/?limit=3").json()
    with acting_as(SYSTEM):
        rows[0].delete()
    second = client.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == [row.pk for row in rows[3:]]


def test_a_cursor_belongs_to_its_query():
    with acting_as(SYSTEM):
        for _ in range(3):
            a_pledge()
    client = reader("planner")
    link = client.get("/api/v1/pledges/?limit=1").json()["next"]
    assert client.get(f"{link}&ordering=-id").status_code == 400
    assert client.get(f"{link}&status=offered").status_code == 400
    assert client.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 400
    assert client.get(link.replace("/pledges/", "/allocations/")).status_code == 400


def test_an_empty_list_is_an_empty_page():
    assert reader("planner").get("/api/v1/allocations/").json() == {"next": None, "previous": None, "results": []}


# --- Whole files ------------------------------------------------------------------------------------


def test_a_file_is_whole_and_says_its_name():
    with acting_as(SYSTEM):
        for _ in range(150):
            a_pledge()
    answer = reader("planner").get("/api/v1/pledges/?format=csv&ordering=-id")
    assert answer.streaming
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="pledges-')
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert len(rows) == 150
    assert [int(row["id"]) for row in rows] == sorted((int(row["id"]) for row in rows), reverse=True)


def test_a_file_begins_before_its_rows_are_read():
    with acting_as(SYSTEM):
        a_pledge()
    answer = reader("planner").get("/api/v1/pledges/?format=csv")
    pieces = iter(answer.streaming_content)
    with CaptureQueriesContext(connection) as queries:
        first = next(pieces)
        assert not [query for query in queries if "pledges_pledge" in query["sql"]]
        assert first.startswith(b"id,nation,")
        assert b"FR" in next(pieces)
        assert [query for query in queries if "pledges_pledge" in query["sql"]]
        answer.close()


def test_a_file_and_a_page_have_the_same_columns():
    with acting_as(SYSTEM):
        a_pledge()
    client = reader("analyst")
    [row] = client.get("/api/v1/pledges/").json()["results"]
    header = client.get("/api/v1/pledges/?format=csv").getvalue().decode().splitlines()[0]
    assert header.split(",") == list(row)


def test_text_like_a_formula_is_disarmed_and_numbers_stay_numbers():
    hostile = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", " =1", "＝1", "＋1", "－1", "＠x"]
    with acting_as(SYSTEM):
        for text in [*hostile, "-7", "plain"]:
            a_pledge(12.5, what=text)
    file = reader("planner").get("/api/v1/pledges/?format=csv").getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(file)))
    assert [row["what"] for row in rows] == [f"'{text}" for text in hostile] + ["-7", "plain"]
    assert {row["quantity"] for row in rows} == {"12.5"}


def test_accept_works_as_format_does():
    answer = reader("planner").get("/api/v1/nations/", headers={"accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


# --- Cost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_whatever_the_number_of_rows(name):
    make, _ = TABLE[name]
    client = reader("planner")

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address)
            assert answer.status_code == 200
            b"".join(answer)
        return len(queries)

    with acting_as(SYSTEM):
        make(P, True)
    client.get(f"/api/v1/{name}/")  # a session's first request costs more
    few = [cost(f"/api/v1/{name}/"), cost(f"/api/v1/{name}/?format=csv")]
    with acting_as(SYSTEM):
        for number in range(40):
            make(list(Tier)[number % 3], bool(number % 2))
    many = [cost(f"/api/v1/{name}/"), cost(f"/api/v1/{name}/?format=csv")]
    assert many == few
    assert max(many) <= 25


def test_a_page_by_token_takes_four_queries_and_leaves_the_planner_as_it_was():
    with acting_as(SYSTEM):
        analyst = a_member(Role.ANALYST)
    with a_token(analyst) as (_, client):
        client.get("/api/v1/pledges/")  # the first use is noted
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/pledges/").status_code == 200
            asked = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
            with connection.cursor() as cursor:
                cursor.execute("SHOW join_collapse_limit")
                assert cursor.fetchone() == ("8",)
    assert len(asked) == 5, asked  # nobody acts, whose token, they act, the page; and who acted before, again


def test_the_next_page_is_asked_for_by_one_comparison_that_an_index_answers():
    with acting_as(SYSTEM):
        for _ in range(3):
            a_pledge()
    client = reader("planner")
    onwards = client.get("/api/v1/pledges/?limit=1&ordering=changed_at").json()["next"]
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(onwards).json()["results"]) == 1
    assert [each for each in queries if ") > ROW(" in each["sql"]]


# --- What every answer has --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LISTS if name not in ("jobs", "exports")])
def test_every_thing_has_an_etag_and_no_answer_is_kept_by_caches(name):
    with acting_as(SYSTEM):
        pk = TABLE[name][0](P, True)
    answer = reader("planner").get(f"/api/v1/{name}/{pk}/")
    assert answer.headers["ETag"].startswith('"')
    assert answer.json()["version"] >= 1
    assert "no-store" in answer.headers["Cache-Control"]


def test_the_docs_page_is_for_members_and_asks_nothing_outside(django_user_model):
    answer = Client().get("/api/v1/docs/")
    assert answer.status_code == 302
    assert settings.LOGIN_URL in answer.headers["Location"] or "/accounts/login/" in answer.headers["Location"]
    page = reader("analyst").get("/api/v1/docs/").content.decode()
    assert "swagger-ui-bundle.js" in page
    assert "http://" not in page.replace("http://testserver", "")
    assert "https://" not in page
    assert "<style" not in page
    assert " style=" not in page

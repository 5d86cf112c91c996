"""Would it be noticed if a rule were another one? Each row of the tables of access is flipped, and something must say no.

Twice: the permission table says what it says (tests/coalition/test_access.py), and a door answers otherwise, so no row is
there that nobody asks.
"""

import re

import pytest
from django.test import Client

from coalition import access
from coalition.access import RULES, SYSTEM, Role, Tier, acting_as, actor_of
from coalition.api_urls import router
from coalition.imports.profiles import profiles_of
from pledges.models import Pledge
from tests.bed import APPS, ROOT
from tests.coalition.test_access import MAY, SEES, disagreements
from tests.coalition.test_api import TABLE, operations
from tests.factories import a_member, a_nation, a_pledge, the_operation

pytestmark = pytest.mark.django_db
CELLS = {"-": set(), "own": {"{}"}, "any": {"{}:any"}}
# Rules that no door asks yet: these nouns are written in the admin, which is for administrators.
NOT_ASKED = {"keep_capabilities", "keep_sectors", "keep_sources"}
PAGES = {
    "see": "/pledges/",
    "see_planning": "/readiness/what-if/",
    "keep_webhooks": "/webhooks/",
    "administer": "/history/",
    "invite": "/people/",
}
IMPORTS = {"import_pledges": "pledges", "import_reports": "reports"}


def flipped(role: str, action: str, cell: str) -> set[str]:
    """The rules of a role with one row of the table changed."""
    return RULES[role] - {action, f"{action}:any"} | {entry.format(action) for entry in CELLS[cell]}


def test_whichever_row_of_the_table_is_flipped_the_permission_table_says_so(monkeypatch):
    survivors = []
    for (action, role), cell in MAY.items():
        for other in CELLS.keys() - {cell}:
            monkeypatch.setitem(RULES, role, flipped(role, action, other))
            if disagreements(role) != [action]:
                survivors.append((action, role, other))
            monkeypatch.undo()
    assert survivors == []


def test_whichever_tier_is_raised_or_lowered_both_nets_show_something_else(monkeypatch):
    with acting_as(SYSTEM):
        made = {
            a_pledge(nation="FR" if relation == "own" else "GB", tier=tier).pk: (relation, tier.label)
            for relation in ("own", "other")
            for tier in Tier
        }
    for role in Role.values:
        user = a_member(role, "FR")
        expected = {pk for pk, where in made.items() if SEES[role, *where]}

        def shown(user=user) -> list[set[int]]:
            with acting_as(user):
                return [
                    set(rows.values_list("pk", flat=True))
                    for rows in (Pledge.objects.filter(access.seen_by(user)), Pledge.objects.all())
                ]

        assert shown() == [expected, expected]
        for tier in set(Tier) - {access.HIGHEST_TIER[role]}:
            monkeypatch.setitem(access.HIGHEST_TIER, role, tier)
            assert expected not in shown(), (role, tier)
            monkeypatch.undo()


# --- At the doors ----------------------------------------------------------------------------------


def asked_over_the_api() -> dict[str, tuple[str, str, str]]:
    """Return {rule: (resource, method, address with {pk})}: one write for each rule that a resource asks."""
    found = {}
    for name, viewset, _ in router.registry:
        for done, rule in viewset.write_actions.items():
            if (name, done) in operations() and (rule not in found or "{pk}" not in found[rule][2]):
                found[rule] = (name, *operations()[name, done])
    return found


OVER_THE_API = asked_over_the_api()


def test_every_rule_is_asked_somewhere():
    code = "".join(path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py") if path.name != "access.py")
    asked = {action for action, _ in MAY if re.search(rf'"{action}"', code)}
    assert {action for action, _ in MAY} - asked == NOT_ASKED
    knocked_at = {*OVER_THE_API, *PAGES, *IMPORTS, *NOT_ASKED}
    assert {action for action, _ in MAY} - knocked_at == {"keep_operations"}  # the empty start page, and the admin


@pytest.mark.parametrize("role", Role.values)
def test_whichever_row_is_flipped_a_door_answers_otherwise(role, monkeypatch):
    with acting_as(SYSTEM):
        the_operation(), a_nation("FR"), a_nation("GB")
        rows = {
            name: [TABLE[name][0](Tier.PUBLIC, own) for own in (True, False)] for name, _, _ in OVER_THE_API.values()
        }
    user = a_member(role, "FR")
    client = Client()
    client.force_login(user)

    def let_in(action: str) -> list[bool]:
        """Whether a door lets this person in: for a row of their own nation, and for one of another."""
        if action in PAGES:
            return [client.get(PAGES[action]).status_code != 403]
        if action in IMPORTS:
            return [any(IMPORTS[action] in profile.noun for profile in profiles_of(actor_of(user)))]
        name, method, address = OVER_THE_API[action]
        answers = [
            getattr(client, method)(address.format(pk=pk), {}, content_type="application/json") for pk in rows[name]
        ]
        return [answer.status_code != 403 for answer in answers]

    survivors = []
    for action in {*OVER_THE_API, *PAGES, *IMPORTS}:
        cell = MAY[action, role]
        before = let_in(action)
        assert before[0] == (cell != "-"), (action, before)
        others = {"any" if cell == "-" else "-"}
        if len(before) == 2 and OVER_THE_API[action][0] == "pledges" and "{pk}" in OVER_THE_API[action][2]:
            assert before == [cell in ("own", "any"), cell == "any"], action
            others = CELLS.keys() - {cell}
        for other in others:
            monkeypatch.setitem(RULES, role, flipped(role, action, other))
            if let_in(action) == before:
                survivors.append((action, other))
            monkeypatch.undo()
    assert survivors == []

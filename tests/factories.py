"""Builders: plain functions that make one thing with believable defaults. Call them while acting as somebody."""

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache

from django.contrib.auth.hashers import make_password

from coalition.access import Role, Tier
from coalition.models import Condition, ImportBatch, Membership, Nation, Operation, Sector, User
from monitoring.models import Agreement, Incident, Party, Provision, ProvisionTerm, Report, Source
from pledges.models import Allocation, Capability, Pledge, Requirement

_number = itertools.count(1)

NATIONS = {
    "FR": ("FRA", "France"),
    "GB": ("GBR", "United Kingdom"),
    "EE": ("EST", "Estonia"),
    "PL": ("POL", "Poland"),
    "UA": ("UKR", "Ukraine"),
    "CA": ("CAN", "Canada"),
}
PASSWORD = "correct-horse-battery"


@cache
def _hashed_password() -> str:
    """Hashed once: Argon2 takes its time on purpose."""
    return make_password(PASSWORD)


def a_nation(code: str = "FR", **fields) -> Nation:
    stanag, name = NATIONS.get(code, (f"X{code}", f"Nation {code}"))
    return Nation.objects.get_or_create(code=code, defaults={"stanag": stanag, "name": name, **fields})[0]


def a_member(role: str = Role.OFFICER, nation: str | None = None, username: str = "", **fields) -> User:
    """A person with a role; officers are of France unless told otherwise."""
    if role == Role.OFFICER and nation is None:
        nation = "FR"
    username = username or f"{role}-{(nation or 'hq').lower()}-{next(_number)}"
    user = User(username=username, email=f"{username}@example.org", password=_hashed_password(), **fields)
    user.save()
    Membership.objects.create(user=user, role=role, nation=a_nation(nation) if nation else None)
    return user


def an_operation(**fields) -> Operation:
    number = next(_number)
    return Operation.objects.create(
        **{"code": f"op-{number}", "name": f"Operation {number}", "starts_on": date(2027, 3, 1), **fields}
    )


def the_operation() -> Operation:
    """The current operation, made on first use."""
    return Operation.objects.filter(is_current=True).first() or an_operation(is_current=True)


def a_capability(code: str = "infantry", **fields) -> Capability:
    defaults = {
        "name": code.replace("-", " ").capitalize(),
        "category": "troops",
        "unit": "persons",
        **fields,
    }
    return Capability.objects.get_or_create(code=code, defaults=defaults)[0]


def a_sector(code: str = "north", **fields) -> Sector:
    west, south = 30 + next(_number) % 5, 50
    ring = [[west, south], [west + 0.5, south], [west + 0.5, south + 0.5], [west, south + 0.5], [west, south]]
    defaults = {"name": code.capitalize(), "polygon": {"type": "Polygon", "coordinates": [ring]}, **fields}
    return Sector.objects.get_or_create(code=code, defaults=defaults)[0]


def an_import(**fields) -> ImportBatch:
    """An import of pledges that a planner committed; its file is not there."""
    defaults = {"profile": "pledges", "dataset": "nations", "file_name": "nations.csv", "sha256": "0" * 64, "size": 1}
    user = fields.pop("user", None) or a_member(Role.PLANNER)
    return ImportBatch.objects.create(
        **defaults | {"user": user, "operation": the_operation(), "state": ImportBatch.State.COMMITTED} | fields
    )


def a_condition(title: str = "", **fields) -> Condition:
    return Condition.objects.create(
        **{
            "operation": fields.pop("operation", None) or the_operation(),
            "kind": Condition.Kind.BACKSTOP,
            "title": title or f"Condition {next(_number)}",
            "tier": Tier.PUBLIC,
            **fields,
        }
    )


def a_requirement(quantity: int | Decimal = 100, capability: str | Capability = "infantry", **fields) -> Requirement:
    operation = fields.pop("operation", None) or the_operation()
    return Requirement.objects.create(
        **{
            "operation": operation,
            "capability": a_capability(capability) if isinstance(capability, str) else capability,
            "quantity": quantity,
            "needed_from": operation.starts_on,
            **fields,
        }
    )


def a_pledge(
    quantity: int | Decimal | None = 100,
    capability: str | Capability = "infantry",
    *,
    nation: str = "FR",
    conditions: tuple[Condition, ...] = (),
    **fields,
) -> Pledge:
    pledge = Pledge.objects.create(
        **{
            "operation": fields.pop("operation", None) or the_operation(),
            "capability": a_capability(capability) if isinstance(capability, str) else capability,
            "nation": a_nation(nation),
            "what": f"Pledge {next(_number)}",
            "quantity": quantity,
            "stated_low": quantity,
            "stated_high": quantity,
            **fields,
        }
    )
    if conditions:
        pledge.conditions.set(conditions)
    pledge.refresh_from_db()
    return pledge


def an_allocation(pledge: Pledge, requirement: Requirement, quantity: int | Decimal | None = None) -> Allocation:
    quantity = pledge.quantity if quantity is None else quantity
    allocation = Allocation.objects.create(pledge=pledge, requirement=requirement, quantity=quantity)
    allocation.refresh_from_db()
    return allocation


def a_party(code: str = "ru") -> Party:
    names = {"ru": "Russian Federation", "ua": "Ukraine"}
    return Party.objects.get_or_create(code=code, defaults={"name": names.get(code, code.capitalize())})[0]


def a_source(code: str = "patrol-1", **fields) -> Source:
    defaults = {"name": code, "source_class": Source.Class.MONITORS, "kind": Source.Kind.PATROL, **fields}
    return Source.objects.get_or_create(code=code, defaults=defaults)[0]


def a_report(kind: str = "explosion", at: datetime | None = None, **fields) -> Report:
    """One report by a patrol, on 10 March 2027 at noon UTC unless told otherwise; it has no place unless given."""
    at = at or datetime(2027, 3, 10, 12, tzinfo=UTC)
    report = Report.objects.create(
        **{
            "source": fields.pop("source", None) or a_source(),
            "kind": kind,
            "occurred_from": at,
            "occurred_until": at,
            "occurred_on": at.date(),
            **fields,
        }
    )
    report.refresh_from_db()
    return report


def an_incident(title: str = "", at: datetime | None = None, **fields) -> Incident:
    at = at or datetime(2027, 3, 10, 12, tzinfo=UTC)
    incident = Incident.objects.create(
        **{
            "title": title or f"Incident {next(_number)}",
            "kind": "explosion",
            "occurred_from": at,
            "occurred_until": at,
            "occurred_on": at.date(),
            **fields,
        }
    )
    incident.refresh_from_db()
    return incident


def an_agreement(code: str = "pause", **fields) -> Agreement:
    return Agreement.objects.get_or_create(code=code, defaults={"name": code.capitalize(), **fields})[0]


def a_provision(article: str = "1", **fields) -> Provision:
    agreement = fields.pop("agreement", None) or an_agreement()
    return Provision.objects.create(
        **{"agreement": agreement, "article": article, "kind": "cessation_of_fire", "text": "No fire.", **fields}
    )


def a_term(provision: Provision, party: str = "ru", begins_at: datetime | None = None, **fields) -> ProvisionTerm:
    begins_at = begins_at or datetime(2027, 3, 1, tzinfo=UTC)
    return ProvisionTerm.objects.create(provision=provision, party=a_party(party), begins_at=begins_at, **fields)

"""Who can log in to the demo. One password, known to everyone who reads this: so never where others can come in."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password

from coalition.access import Role
from coalition.models import Membership, User
from coalition.vocabulary import rows

HERE = Path(__file__).parent
PASSWORD = "demo-on-this-machine-only"
LOOPBACK = {"localhost", "127.0.0.1", "[::1]", "testserver"}  # the last is what Django adds under test


class OthersCanComeIn(Exception):
    """The settings are those of a real deployment: the demo's people have no business there."""


@dataclass(frozen=True)
class DemoPerson:
    """One line of the table of people; ``nation`` is an alpha-2 code or empty."""

    username: str
    first_name: str
    last_name: str
    role: str
    nation: str


def demo_people() -> list[DemoPerson]:
    """Return the people of the demo, officers first."""
    return [DemoPerson(**row) for row in rows(HERE / "people.csv")]


def refuse_real_deployments() -> None:
    """Raise OthersCanComeIn unless the engines are embedded, the hosts are loopback and there is no HTTPS."""
    reasons = []
    if not settings.EMBEDDED:
        reasons.append("DATABASE_URL names a database of its own")
    if settings.HTTPS:
        reasons.append("HTTPS is on")
    if not LOOPBACK.issuperset(settings.ALLOWED_HOSTS):
        reasons.append("ALLOWED_HOSTS lets others in")
    if reasons:
        raise OthersCanComeIn(
            f"The demo is not loaded here, because {' and '.join(reasons)}: its people share a password that everybody"
            " can read. To start without the demo, set DEMO=0."
        )


def load_people() -> dict[str, User]:
    """Make the people of the demo with their roles; return them by username."""
    encoded = make_password(PASSWORD)  # once: the hash is slow on purpose
    people = demo_people()
    users = User.objects.bulk_create(
        [
            User(
                username=person.username,
                first_name=person.first_name,
                last_name=person.last_name,
                email=f"{person.username}@demo.example",
                password=encoded,
            )
            for person in people
        ]
    )
    Membership.objects.bulk_create(
        [
            Membership(user=user, role=person.role, nation_id=person.nation or None)
            for user, person in zip(users, people, strict=True)
        ]
    )
    return {user.username: user for user in users}


def table_of_people() -> str:
    """Return the people and their password as lines of text, for a terminal."""
    lines = [
        f"  {person.username:<15} {Role(person.role).label}{f' of {person.nation}' if person.nation else ''}"
        for person in demo_people()
    ]
    return "\n".join([f"Demo people, all with the password {PASSWORD}", *lines])

"""Thirty-two officers edit at once for a minute: no update is lost, and nobody gets an error but 412.

Each officer opens a pledge's form, thinks, and saves it with one more in its quantity, through the real web server and
with the worker counting beside it. Half of the time it is a pledge that four officers of the nation share; who comes
second there gets 412. In the end a pledge's quantity, its version and its history must each say how many saves were
acknowledged. `make officers`; SHORT=1 is 8 officers for 10 s. Clock times are of this machine and not asserted.
"""

import random
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from http.cookiejar import Cookie
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from coalition.access import SYSTEM, Role, acting_as
from coalition.models import Membership, Nation, Operation, User
from pledges.models import Capability, Pledge
from tests.faults.people import AWAY, SEED, SHORT
from tests.product import Product, eventually
from tests.visitor import Visitor

pytestmark = pytest.mark.faults
OFFICERS, SECONDS = (8, 10.0) if SHORT else (32, 60.0)
SHARED_BY = 4
THINKS_S = (1.0, 3.0) if SHORT else (2.0, 6.0)  # between opening the form and saving it, and before the next one


class Form(HTMLParser):
    """The fields of the page's form that changes a pledge, as a browser would send them."""

    def __init__(self, page: str):
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = self._area = ""
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name, value = given.get("name", ""), given.get("value") or ""
        if tag == "main":
            self._inside = True
        if not self._inside:
            return
        if tag == "input" and name and given.get("type") not in ("submit", "button", "file"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.fields[name] = value
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = value
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""

    def handle_data(self, text):
        if self._area:
            self.fields[self._area] += text

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""
        elif tag == "main":
            self._inside = False


class Editor(Visitor):
    """An officer with a session of their own; logging in, slow on purpose, is not what is measured."""

    def __init__(self, product: Product, user: User, pledges: list[int], dice: random.Random):
        super().__init__(product.address)
        store = import_module(settings.SESSION_ENGINE).SessionStore()
        store[SESSION_KEY], store[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        store.save()
        self.cookies.set_cookie(_cookie(settings.SESSION_COOKIE_NAME, store.session_key))
        self._pledges, self._dice = pledges, dice
        self.saved: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.opened_s: list[float] = []
        self.saved_s: list[float] = []

    def edit_until(self, end: float) -> None:
        """Open and save, one after the other, until then."""
        time.sleep(self._dice.uniform(0, THINKS_S[1]))
        while time.monotonic() < end:
            pledge = self._dice.choice(self._pledges)
            try:
                status, page = self.ask(f"/pledges/{pledge}/edit/")
                self.opened_s.append(self.waits[-1])
                self.answers[f"open {status}"] += 1
                fields = Form(page).fields
                time.sleep(self._dice.uniform(*THINKS_S))
                fields["quantity"] = str(int(float(fields["quantity"])) + 1)
                status, page = self.ask(f"/pledges/{pledge}/edit/", fields)
            except AWAY as error:
                self.answers[type(error).__name__] += 1
                continue
            self.saved_s.append(self.waits[-1])
            self.answers[f"save {status}"] += 1
            self.saved[pledge] += status == 302
            time.sleep(self._dice.uniform(*THINKS_S))


def _cookie(name: str, value: str) -> Cookie:
    return Cookie(
        0, name, value, None, False, "127.0.0.1", False, False, "/", True, False, None, False, None, None, {}
    )  # fmt: skip


def officers_and_pledges() -> list[tuple[User, list[int]]]:
    """Make the officers, each with a pledge of their own and one shared by their nation; return them with the ids."""
    with acting_as(SYSTEM):
        operation, capability = Operation.objects.order_by("pk").first(), Capability.objects.order_by("pk").first()
        nations = list(Nation.objects.order_by("pk")[: OFFICERS // SHARED_BY])

        def pledge(nation: Nation, what: str) -> int:
            return Pledge.objects.create(
                operation=operation, nation=nation, capability=capability, what=what,
                status=Pledge.Status.OFFERED, quantity=100, available_from=operation.today(), notice_days=0, tier=2,
            ).pk  # fmt: skip

        made = []
        stamp = str(time.time_ns())
        for nation in nations:
            shared = pledge(nation, "Edited by four")
            for number in range(SHARED_BY):
                name = f"officer-{nation.pk}-{number}-{stamp}".lower()
                user = User.objects.create(username=name, email=f"{name}@demo.example", password="!")
                Membership.objects.create(user=user, role=Role.OFFICER, nation=nation)
                made.append((user, [pledge(nation, f"Edited by {name}"), shared]))
    return made


def processor_s(product: Product) -> float:
    """Return the processor time that the web server's processes have used."""
    total = 0
    main = product.pid("web")
    for pid in [main, *Path(f"/proc/{main}/task/{main}/children").read_text().split()]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def test_no_update_is_lost_and_nobody_meets_an_error_but_412(product, cost, django_db_blocker, record_property):
    with django_db_blocker.unblock(), product.database():
        eventually(lambda: product.status().get("status") == "ok", within_s=60)
        editors = [
            Editor(product, user, pledges, random.Random(f"{SEED} {number}"))
            for number, (user, pledges) in enumerate(officers_and_pledges())
        ]
        used = processor_s(product)
        end = time.monotonic() + SECONDS
        with ThreadPoolExecutor(len(editors)) as pool:
            for work in [pool.submit(editor.edit_until, end) for editor in editors]:
                work.result()
        used = processor_s(product) - used
        saved = sum((editor.saved for editor in editors), Counter())
        event = apps.get_model("pledges", "PledgeEvent")
        with acting_as(SYSTEM):
            pledges = Pledge.objects.in_bulk(saved)
            history = Counter(event.objects.filter(pgh_obj_id__in=saved).values_list("pgh_obj_id", flat=True))
    answers = sum((editor.answers for editor in editors), Counter())
    waits = sorted(wait for editor in editors for wait in editor.saved_s)
    opened = sorted(wait for editor in editors for wait in editor.opened_s)
    figures = {pk: (int(row.quantity) - 100, row.version - 1, history[pk]) for pk, row in pledges.items()}
    record_property(
        f"{OFFICERS} officers for {SECONDS:.0f} s",
        f"{dict(sorted(answers.items()))}; saving p50 {statistics.median(waits):.3f} s, p95 {p95(waits):.3f} s; "
        f"opening p95 {p95(opened):.3f} s; {used / (len(waits) + len(opened)) * 1000:.0f} ms of processor per request",
    )
    cost(
        f"{OFFICERS} officers edit at once",
        acknowledged=saved.total(),
        lost=sum(abs(saved[pk] - quantity) for pk, (quantity, _, _) in figures.items()),
        twice=sum(abs(saved[pk] - version) + abs(saved[pk] - events) for pk, (_, version, events) in figures.items()),
        longest_request_s=max(waits),
        recovered_s=None,
        note=f"saving p95 {p95(waits):.3f} s",
    )
    assert set(answers) <= {"open 200", "save 302", "save 412"}
    assert answers["save 412"] > 0


def p95(values: list[float]) -> float:
    """Return the 95th percentile of sorted values."""
    return values[int(0.95 * (len(values) - 1))]

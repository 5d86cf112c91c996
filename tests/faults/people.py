"""People who go on saving while something breaks, and what became of what they saved."""

import itertools
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from threading import Event
from uuid import uuid4

from coalition.access import SYSTEM, Tier, acting_as
from pledges.models import Pledge
from tests.product import Product, eventually
from tests.visitor import Visitor

SEED = int(os.environ.get("FAULT_SEED") or secrets.randbelow(1_000_000))
SHORT = os.environ.get("SHORT") == "1"
RECOVERED_WITHIN_S = 30.0
COUNTED = re.compile(r'capability=military-police&amp;level=offered">(\S+)</a>')
AWAY = (OSError, HTTPException)  # refused, reset, cut off in the middle


class Officer(Visitor):
    """A British officer who logs military police."""

    def save(self, what: str) -> bool:
        """Log one military policeman; return True if that was acknowledged. The same ``what`` is the same click."""
        draft = {
            "nation": "GB", "capability": "Military police", "what": what, "quantity": "1", "status": "offered",
            "available_from": "2027-03-01", "notice_days": "0", "tier": Tier.COALITION.value,
            "caveats-TOTAL_FORMS": "0", "caveats-INITIAL_FORMS": "0", "idempotency_key": what,
        }  # fmt: skip
        try:
            status, text = self.ask("/pledges/new/", draft)
        except AWAY:
            return False
        assert status in (302, 502, 503), f"{status} {text}"
        return status == 302

    def offered(self) -> int | None:
        """Return the military police the dashboard shows as offered on the start day; None while nobody answers."""
        try:
            status, text = self.ask("/readiness/")
        except AWAY:
            return None
        found = COUNTED.search(text)
        return None if status != 200 else int(re.sub(r"\D", "", found[1])) if found else 0


class Crowd:
    """Two people who save pledge after pledge, each again until it is acknowledged, for the length of the block."""

    def __init__(self, product: Product, label: str):
        self.people = [Officer(product.address) for _ in range(2)]
        self.acknowledged: list[str] = []
        self.failed = 0
        self._product, self._label, self._enough = product, f"{label} {uuid4().hex[:8]}", Event()
        for person in self.people:
            assert person.log_in("officer-gb") == 302
            person.waits.clear()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(len(self.people))
        self._work = [self._pool.submit(self._save, number) for number in range(len(self.people))]
        return self

    def __exit__(self, *_exception):
        self._enough.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()

    def _save(self, number: int) -> None:
        for count in itertools.count():
            what = f"{self._label}-{number}-{count}"
            while not self.people[number].save(what):
                self.failed += 1
                self._enough.wait(0.02)
            self.acknowledged.append(what)
            if self._enough.is_set():
                return

    def until_saved(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        goal = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= goal or any(work.done() for work in self._work), within_s=60)

    @property
    def longest_wait(self) -> float:
        return max(wait for person in self.people for wait in person.waits)

    def stored(self) -> list[str]:
        """Return what of all this is in the database."""
        with self._product.database(), acting_as(SYSTEM):
            return sorted(Pledge.objects.filter(what__startswith=f"{self._label}-").values_list("what", flat=True))

    def figures(self) -> dict:
        """Return what the table says of the writes. Call after the block."""
        stored = self.stored()
        return {
            "acknowledged": len(self.acknowledged),
            "lost": len(set(self.acknowledged) - set(stored)),
            "twice": len(stored) - len(set(stored)),
            "longest_request_s": round(self.longest_wait, 2),
        }

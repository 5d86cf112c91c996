"""Ask the real product what its own description allows, and much that it does not: no fault, nothing undescribed.

``make fuzz``; ``FUZZ_CASES`` per person, ``FUZZ_SEED`` to repeat what was made up, ``SHORT=1`` for a taste of it.
Cases come from schemathesis. Where it would only guess, ids, codes and versions of the demo are put in, or nearly all
writes would end at 404. What is found is collected and told at the end; the demo database may be wrecked by then.
"""

import os
import random
import secrets
import time
from collections import Counter

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from coalition.demo.people import PASSWORD
from tests import bed
from tests.product import eventually, running_product

pytestmark = pytest.mark.fuzz
SHORT = os.environ.get("SHORT") == "1"
CASES = int(os.environ.get("FUZZ_CASES") or (130 if SHORT else 5_000))
SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(10**9))
PEOPLE = {"officer": "officer-gb", "planner": "planner-one", "analyst": "analyst"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PATIENCE_S = 30
NO_SEARCHING = settings(
    phases=[Phase.generate], database=None, deadline=None, print_blob=False, suppress_health_check=list(HealthCheck)
)
# Fields of a body, and the list whose ids or codes they hold.
HOLDS = {
    "operation": "operations",
    "capability": "capabilities",
    "sector": "sectors",
    "nation": "nations",
    "requirement": "requirements",
    "pledge": "pledges",
    "successor": "pledges",
    "conditions": "conditions",
    "source": "sources",
    "party": "parties",
    "accused": "parties",
    "accuser": "parties",
    "attributed_to": "parties",
    "of": "reports",
    "agreement": "agreements",
    "provision": "provisions",
}


@pytest.fixture(scope="module")
def product():
    with running_product(bed.DATA_DIR / f"fuzz-{bed.NUMBER}", demo=True) as running:
        eventually(lambda: running.status().get("status") == "ok", within_s=60)
        yield running


class Person:
    """Somebody of the demo with a session, who knows some of what there is."""

    def __init__(self, address: str, username: str):
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False
        page = f"{address}/accounts/login/"
        self.session.get(page, timeout=PATIENCE_S)
        form = {"login": username, "password": PASSWORD, "csrfmiddlewaretoken": self.session.cookies["csrftoken"]}
        assert self.session.post(page, form, timeout=PATIENCE_S, allow_redirects=False).status_code == 302
        self.session.headers["X-CSRFToken"] = self.session.cookies["csrftoken"]
        self.known: dict[str, list] = {}

    def get(self, path: str, **parameters) -> requests.Response:
        return self.session.get(f"{self.address}{path}", params=parameters, timeout=PATIENCE_S)

    def some(self, resource: str) -> list:
        """Return ids or codes of rows of a list, as it was when it was first asked for."""
        if resource not in self.known:
            rows = self.get(f"/api/v1/{resource}/").json().get("results", [])
            self.known[resource] = [row.get("id", row.get("code")) for row in rows]
        return self.known[resource]

    def etag(self, path: str) -> str:
        return self.get(path).headers.get("ETag", '"1"')


def make_plausible(case, person: Person, luck: random.Random) -> None:
    """Put what there really is into a case, mostly: an id in its address, its version, codes in its body."""
    resource = case.path.removeprefix("/api/v1/").split("/{")[0].strip("/")
    for name in case.path_parameters:
        if person.some(resource) and luck.random() < 0.8:
            case.path_parameters[name] = luck.choice(person.some(resource))
    wants_version = any(each.name == "If-Match" for each in case.operation.headers)
    if wants_version and luck.random() < 0.8:
        case.headers["If-Match"] = person.etag(thing(case)) if luck.random() < 0.9 else '"999"'
    if isinstance(case.body, dict):
        for name in set(case.body) & set(HOLDS):
            if (values := person.some(HOLDS[name])) and luck.random() < 0.7:
                chosen = luck.choice(values)
                case.body[name] = [chosen] if isinstance(case.body[name], list) else chosen


def thing(case) -> str:
    """Return the address of what the case is about, without the step."""
    return "/".join(case.formatted_path.split("/")[:5]) + "/"


def strategies(operation):
    """Yield what schemathesis makes up for an operation: what is allowed, and what is not."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            yield operation.as_strategy(generation_mode=mode)
        except InvalidSchema:
            continue


class Findings:
    """What was answered, and each kind of thing that was wrong, told once."""

    def __init__(self):
        self.statuses: Counter[int] = Counter()
        self.told: dict[tuple[str, str], str] = {}

    def judge(self, case, answer) -> None:
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                what = f"{type(failure).__name__} {getattr(failure, '_unique_key', '')}"
                self.tell(case, what, f"{failure}\n{answer.text[:300]}")

    def tell(self, case, what: str, about: str) -> None:
        label = case.operation.label
        self.told.setdefault((label, what), f"{label}: {what}\n{about}\n{case.as_curl_command()[:2000]}")


def ask(operation, strategy, cases: int, person: Person, findings: Findings) -> None:
    """Ask so many times what the strategy makes up."""
    luck = random.Random(f"{SEED} {operation.label}")

    @seed(SEED)
    @settings(NO_SEARCHING, max_examples=cases)
    @given(case=strategy)
    def one(case):
        make_plausible(case, person, luck)
        try:
            answer = case.call(session=person.session, timeout=PATIENCE_S)
        except requests.RequestException as error:  # no answer, or one that broke off
            findings.tell(case, type(error).__name__, str(error))
        else:
            findings.judge(case, answer)

    one()


@pytest.mark.parametrize("role", PEOPLE)
def test_no_fault_and_nothing_undescribed(product, role, record_property):
    """No 5xx, and no status, media type, header or content that the description does not have."""
    person, findings, began = Person(product.address, PEOPLE[role]), Findings(), time.monotonic()
    described = person.get("/api/v1/schema/", format="json").json()
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=product.address)
    schema.config.generation.update(with_security_parameters=False)
    operations = [found.ok() for found in schema.get_all_operations()]
    each = -(-CASES // (2 * len(operations)))
    for operation in operations:
        for strategy in strategies(operation):
            ask(operation, strategy, each, person, findings)
    record_property(f"cases as {role}", findings.statuses.total())
    record_property(f"statuses as {role}", dict(sorted(findings.statuses.items())))
    record_property(f"seconds as {role}", round(time.monotonic() - began))
    record_property("FUZZ_SEED", SEED)
    assert product.is_alive()
    assert product.starts("web") == 1
    told = "\n\n".join(findings.told.values())
    assert not told, f"{len(findings.told)} kinds of findings, FUZZ_SEED={SEED}\n\n{told}"

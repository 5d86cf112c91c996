"""What programs outside rely on stays: parameters, words, fields. And the tutorial in docs/api.md runs as it is written.

``docs/api-promises.txt`` has a line for each thing promised. A new one is added with PROMISES=1; one that is taken back
is taken out by hand, on purpose, with a line in the CHANGELOG.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.test import Client

from coalition.access import SYSTEM, Role, acting_as
from tests.factories import a_member, a_pledge

DOCS = Path(settings.BASE_DIR) / "docs"
PROMISES = DOCS / "api-promises.txt"


def promised() -> Iterator[str]:
    """Yield what the committed description promises: what may be sent, what must be sent, and what comes back."""
    described = yaml.safe_load((DOCS / "openapi.yaml").read_text())
    for address, methods in described["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {address}"
            yield name
            for each in operation.get("parameters", []):
                must = "!" if each.get("required") and each["in"] != "path" else ""
                yield f"{name} {each['in']} {each['name']}{must}"
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in body:
                yield f"{name} takes {body['$ref'].rpartition('/')[2]}"
            for code, answer in operation["responses"].items():
                if code < "300":
                    yield from (f"{name} {code} as {media_type}" for media_type in answer.get("content", {}))
    for name, schema in described["components"]["schemas"].items():
        yield from (f"{name} has the word {word}" for word in schema.get("enum", []))
        required = set(schema.get("required", []))
        for field, about in schema.get("properties", {}).items():
            kind = about.get("type", "…")
            kind = "/".join(kind) if isinstance(kind, list) else kind
            yield f"{name}.{field}: {kind}{' required' if field in required else ''}"


def test_nothing_that_was_promised_is_broken_unplanned():
    now = sorted(set(promised()))
    if os.environ.get("PROMISES"):
        PROMISES.write_text("\n".join(now) + "\n")
    before = PROMISES.read_text().splitlines()
    broken = sorted(set(before) - set(now))
    assert broken == [], f"Programs rely on these. If it must be, take them out of {PROMISES.name} by hand."
    assert sorted(set(now) - set(before)) == [], "New promises: run this test with PROMISES=1."


@pytest.mark.django_db
def test_the_tutorial_runs_as_it_is_written():
    client = Client()
    with acting_as(SYSTEM):
        client.force_login(a_member(Role.ANALYST))
        a_pledge()
    lines = re.findall(r"^GET (\S+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(lines) >= 5
    for address in lines:
        answer = client.get(address)
        assert (address, answer.status_code) == (address, 200)
        assert b"".join(answer)

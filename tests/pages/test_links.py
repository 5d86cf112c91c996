"""No page points at nothing: whatever a planner can click from the overview on answers."""

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, acting_as
from pledges import readiness
from tests.factories import a_condition, a_member, a_pledge, a_requirement, a_sector, an_allocation, the_operation

pytestmark = pytest.mark.django_db
LINK = re.compile(r'<a [^>]*href="([^"#]*)')
LEFT_OUT = ("/accounts/", "/admin/", "/static/", "/api/")  # tested where they live
MOST_OF_A_KIND = 6  # addresses that differ in their parameters or numbers only


def kind_of(address: str) -> str:
    parts = urlsplit(address)
    return re.sub(r"\d+", "N", parts.path) + "?" + ",".join(re.findall(r"(\w+)=", parts.query))


def test_every_link_leads_somewhere():
    with acting_as(SYSTEM):
        line = a_requirement(100, sector=a_sector())
        pledge = a_pledge(60, status="committed", conditions=(a_condition(),), requirement=line)
        a_pledge(70, nation="GB", status="offered")
        an_allocation(pledge, line, 30)
        operation = the_operation()
    readiness.recompute_all(operation)
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    waiting, seen, kinds, dead = ["/"], {"/"}, {}, []
    while waiting:
        address = waiting.pop(0)
        answer = client.get(address)
        if answer.status_code not in (200, 302):
            dead.append((address, answer.status_code))
        if answer.streaming or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        for found in LINK.findall(answer.content.decode()):
            link = urljoin(address, unescape(found))
            kind = kind_of(link)
            outside = urlsplit(link).netloc or link.startswith(LEFT_OUT)
            if not outside and link not in seen and kinds.get(kind, 0) < MOST_OF_A_KIND:
                kinds[kind] = kinds.get(kind, 0) + 1
                seen.add(link)
                waiting.append(link)
    assert len(seen) > 40
    assert dead == []

"""What goes out meets nobody: a webhook is tried again, given up with its reason, sent when asked for; mail is logged."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network
from uuid import uuid4

import pytest
from django.utils import timezone

from coalition import webhooks
from coalition.access import SYSTEM, acting_as
from coalition.models import WebhookDelivery, WebhookSubscription
from tests.faults.people import RECOVERED_WITHIN_S, SHORT
from tests.product import eventually
from tests.visitor import Visitor

pytestmark = [pytest.mark.faults, pytest.mark.skipif(SHORT, reason="The short form has three faults.")]


class Target:
    """A program that is told of changes, while the block lasts."""

    def __init__(self, port: int):
        self.came: list[tuple[str, dict]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.came.append((self.headers["webhook-id"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args):
                pass

        self._server = HTTPServer(("127.0.0.1", port), Handler)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def our_worker_may_send(settings, receiver_port):
    """This process stands in for a worker on a later day: it may send where the product's own may."""
    settings.WEBHOOK_PLAIN_NETWORKS, settings.WEBHOOK_PORTS = [ip_network("127.0.0.0/8")], [receiver_port]


def test_a_target_that_is_away_gets_everything_once_it_is_back(
    product, officer, receiver_port, our_worker_may_send, cost, django_db_blocker
):
    planner = Visitor(product.address)
    assert planner.log_in("planner-one") == 302
    name = f"away {uuid4()}"
    form = {"name": name, "address": f"http://127.0.0.1:{receiver_port}/", "kinds": "pledges", "tier": "2"}
    assert planner.ask("/webhooks/new/", form)[0] == 200
    with django_db_blocker.unblock(), product.database():
        with acting_as(SYSTEM):
            subscription = WebhookSubscription.objects.get(name=name)
        log = f"/webhooks/{subscription.pk}/"
        assert officer.save(f"told-{uuid4()}")

        def deliveries() -> list[WebhookDelivery]:
            with acting_as(SYSTEM):
                return list(subscription.deliveries.order_by("created_at"))

        eventually(lambda: deliveries() and deliveries()[0].attempts >= 1, within_s=2 * RECOVERED_WITHIN_S)
        first = deliveries()[0].pk

        def is_given_up() -> bool:
            with acting_as(SYSTEM):  # the next hours pass at once
                WebhookDelivery.objects.filter(pk=first, state="waiting", error__gt="").update(next_at=timezone.now())
            webhooks.send_due(budget_s=0.5)
            with acting_as(SYSTEM):
                return WebhookDelivery.objects.get(pk=first).state == WebhookDelivery.State.DEAD

        eventually(is_given_up, within_s=2 * RECOVERED_WITHIN_S)
        status, page = planner.ask(log)
        assert status == 200
        assert f"Given up after {webhooks.ATTEMPTS} attempts" in page
        with Target(receiver_port) as target:
            began = time.monotonic()
            assert planner.ask(f"{log}deliveries/{first}/replay/", {})[0] == 302
            eventually(
                lambda: all(each.state == WebhookDelivery.State.DELIVERED for each in deliveries()),
                within_s=2 * RECOVERED_WITHIN_S,
            )
            recovered = time.monotonic() - began
        known = [str(each) for each in deliveries()]
        came = [identity for identity, _ in target.came]
        assert planner.ask(f"{log}delete/", {})[0] == 302
    cost(
        "webhook target away",
        acknowledged=len(known), lost=len(set(known) - set(came)), twice=len(came) - len(set(came)),
        longest_request_s=max(planner.waits), recovered_s=recovered,
    )  # fmt: skip


def test_a_mail_host_that_is_away_holds_nobody_up(product, cost):
    stranger = Visitor(product.address)
    assert stranger.ask("/accounts/password/reset/")[0] == 200
    for address in ("officer-gb@demo.example", "nobody@demo.example"):  # the answer does not tell them apart
        assert stranger.ask("/accounts/password/reset/", {"email": address})[0] == 302
    eventually(lambda: "Mail could not be sent" in (product.data_dir / "logs/web.log").read_text())
    longest = max(stranger.waits)
    cost("mail host away", acknowledged=0, lost=0, twice=0, longest_request_s=longest, recovered_s=None)

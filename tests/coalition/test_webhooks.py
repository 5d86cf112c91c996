"""Webhooks tell their owner's programs that things changed: signed, tried again, only to where the operator lets them."""

import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import Http404
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from coalition import changes, egress, housekeeping, webhooks
from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import WebhookDelivery, WebhookSubscription
from tests.factories import a_condition, a_member, the_operation

PAGE = "/webhooks/"
LOOPBACK = [ip_network("127.0.0.0/8")]


class Receiver:
    """A real HTTP server that writes down what it is sent and answers as it is told."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.came, self.status, self.location, self.holds = [], 200, "", threading.Event()
        self.holds.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((self.path, dict(self.headers.items()), body))
                receiver.holds.wait(20)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self):
        self.holds.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver(settings):
    made = Receiver()
    settings.WEBHOOK_NETWORKS, settings.WEBHOOK_PLAIN_NETWORKS = [], LOOPBACK
    settings.WEBHOOK_PORTS = [made.port]
    yield made
    made.close()


@pytest.fixture
def planner(db):
    with acting_as(SYSTEM):
        return a_member(Role.PLANNER)


def subscribed(user, receiver, kinds=("conditions",), tier=Tier.PLANNING, host="127.0.0.1"):
    with acting_as(user):
        return webhooks.subscribe(
            by=user, name="Copy", address=f"http://{host}:{receiver.port}/hook", kinds=kinds, tier=tier
        )


def in_line(user, receiver) -> tuple[WebhookSubscription, str, WebhookDelivery]:
    subscription, secret = subscribed(user, receiver)
    with acting_as(user):
        return subscription, secret, webhooks.send_test(subscription.pk, by=user)


def again(delivery: WebhookDelivery) -> WebhookDelivery:
    with acting_as(SYSTEM):
        return WebhookDelivery.objects.get(pk=delivery.pk)


def make_due(delivery: WebhookDelivery) -> None:
    with acting_as(SYSTEM):
        WebhookDelivery.objects.filter(pk=delivery.pk).update(next_at=timezone.now())


def deliveries() -> list[WebhookDelivery]:
    with acting_as(SYSTEM):
        return list(WebhookDelivery.objects.order_by("created_at"))


def everything_is_over(monkeypatch) -> None:
    """Serve what this test's own open transaction wrote, as if it had been committed."""
    monkeypatch.setattr(changes, "settled_before", lambda: 2**62)


def logged_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- What is sent -------------------------------------------------------------------------


def test_a_message_is_signed_so_that_the_library_accepts_it_and_nothing_else(planner, receiver):
    _, secret, delivery = in_line(planner, receiver)
    assert webhooks.send_due() == 1
    ((path, headers, body),) = receiver.came
    assert path == "/hook"
    assert Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})["type"] == "test"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", {name.lower(): value for name, value in headers.items()})
    after = again(delivery)
    assert (after.state, after.attempts, after.status, after.error) == ("delivered", 1, 200, "")
    assert webhooks.send_due() == 0


def test_a_message_names_what_changed_and_holds_nothing_of_it(planner, receiver, monkeypatch):
    subscribed(planner, receiver, kinds=["conditions", "nations"])
    with acting_as(SYSTEM):
        condition = a_condition(title="Very secret title", tier=Tier.PLANNING)
    everything_is_over(monkeypatch)
    assert webhooks.gather() == 1
    webhooks.send_due()
    ((_, _, body),) = receiver.came
    message = json.loads(body)
    assert message["type"] == "changes"
    assert {"kind": "conditions", "id": str(condition.pk), "change": "upsert"} in message["data"]["changes"]
    assert all(set(change) == {"kind", "id", "change"} for change in message["data"]["changes"])
    assert b"secret" not in body
    page = logged_in(planner).get(message["data"]["feed"]).json()
    assert [(row["kind"], row["id"]) for row in page["results"]] == [
        (row["kind"], row["id"]) for row in message["data"]["changes"]
    ]


@pytest.mark.parametrize(("cap", "told"), [(Tier.PUBLIC, 1), (Tier.COALITION, 2), (Tier.PLANNING, 3)])
def test_nothing_above_the_tier_of_the_subscription_is_told(planner, receiver, monkeypatch, cap, told):
    subscribed(planner, receiver, tier=cap)
    with acting_as(SYSTEM):
        for tier in Tier:
            a_condition(tier=tier)
    everything_is_over(monkeypatch)
    webhooks.gather()
    (delivery,) = deliveries()
    assert delivery.changes == told


def test_nothing_is_skipped_and_nothing_told_twice(committed, receiver, monkeypatch):
    with acting_as(SYSTEM):
        planner = a_member(Role.PLANNER)
        the_operation()
    monkeypatch.setattr(webhooks, "PER_MESSAGE", 2)
    subscribed(planner, receiver)
    made, stop = [], threading.Event()

    def write():
        for _ in range(12):
            with acting_as(SYSTEM):
                made.append(str(a_condition().pk))
        stop.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        webhooks.gather()
    writer.join()
    deadline = timezone.now() + timedelta(seconds=60)
    while sum(delivery.changes for delivery in deliveries()) < 12 and timezone.now() < deadline:
        webhooks.gather()  # transactions of tests beside this one hold the feed back for a while
    webhooks.gather()
    told = [change["id"] for delivery in deliveries() for change in delivery.payload["data"]["changes"]]
    assert sorted(told) == sorted(made)
    assert max(delivery.changes for delivery in deliveries()) <= 2


# --- When it is not taken -----------------------------------------------------------------


def test_a_message_that_is_not_taken_is_sent_again_later_with_the_same_id(planner, receiver):
    _, _, delivery = in_line(planner, receiver)
    receiver.status = 503
    webhooks.send_due()
    after = again(delivery)
    assert (after.state, after.attempts, after.status, after.error) == ("waiting", 1, 503, "It answered 503.")
    assert after.next_at > timezone.now()
    assert webhooks.send_due() == 0
    receiver.status = 204
    make_due(delivery)
    webhooks.send_due()
    assert again(delivery).state == "delivered"
    ids = {headers["webhook-id"] for _, headers, _ in receiver.came}
    assert ids == {str(delivery)}
    assert len(receiver.came) == 2


def test_after_the_last_attempt_it_is_given_up_with_the_reason_and_can_be_replayed(planner, receiver):
    subscription, _, delivery = in_line(planner, receiver)
    receiver.status = 500
    for _ in range(webhooks.ATTEMPTS):
        make_due(delivery)
        assert webhooks.send_due() == 1
    after = again(delivery)
    assert (after.state, after.attempts) == ("dead", 8)
    assert after.error == "It answered 500. Given up after 8 attempts."
    make_due(delivery)
    assert webhooks.send_due() == 0
    receiver.status = 200
    answer = logged_in(planner).post(f"{PAGE}{subscription.pk}/deliveries/{delivery.pk}/replay/")
    assert answer.status_code == 302
    webhooks.send_due()
    after = again(delivery)
    assert (after.state, after.attempts) == ("delivered", 1)
    assert {headers["webhook-id"] for _, headers, _ in receiver.came} == {str(delivery)}


def test_eight_attempts_take_about_a_day():
    now = datetime(2027, 3, 1, tzinfo=UTC)
    at, attempts = now, 1
    while (following := webhooks.next_attempt(attempts, at)) is not None:
        at, attempts = following, attempts + 1
    assert attempts == 8
    assert timedelta(hours=20) < at - now < timedelta(hours=28)


def test_a_receiver_that_does_not_answer_in_time_is_cut_off(planner, receiver, monkeypatch):
    monkeypatch.setattr(egress, "LONGEST_S", 0.3)
    _, _, delivery = in_line(planner, receiver)
    receiver.holds.clear()
    webhooks.send_due()
    assert again(delivery).error == "No whole answer within 0.3 seconds."


def test_an_answer_that_drips_is_cut_off_as_a_whole(settings, monkeypatch):
    monkeypatch.setattr(egress, "LONGEST_S", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings.WEBHOOK_PLAIN_NETWORKS, settings.WEBHOOK_PORTS = LOOPBACK, [port]
    over = threading.Event()

    def drip():
        peer, _ = listener.accept()
        with peer:
            for _ in range(50):  # it ends by itself where nobody cuts it off
                if over.wait(0.1):
                    return
                try:
                    peer.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(egress.Unanswered, match="within"):
        egress.post(f"http://127.0.0.1:{port}/", b"{}", {})
    over.set()
    thread.join()
    listener.close()


def test_one_receiver_that_fails_does_not_hold_up_another(planner, receiver):
    _, _, first = in_line(planner, receiver)
    with acting_as(SYSTEM):
        WebhookSubscription.objects.update(address="http://127.0.0.1:1/")  # a port nobody listed
    _, _, second = in_line(planner, receiver)
    assert webhooks.send_due() == 2
    assert (again(first).state, again(second).state) == ("waiting", "delivered")


# --- Where it may go ----------------------------------------------------------------------


def test_a_redirect_is_not_followed(planner, receiver):
    _, _, delivery = in_line(planner, receiver)
    receiver.status, receiver.location = 307, f"http://127.0.0.1:{receiver.port}/elsewhere"
    webhooks.send_due()
    assert [path for path, _, _ in receiver.came] == ["/hook"]
    assert "Redirects are not followed" in again(delivery).error


def test_an_address_on_an_unlisted_network_is_refused_at_once_and_when_it_is_sent(planner, receiver, settings):
    _, _, delivery = in_line(planner, receiver)
    settings.WEBHOOK_PLAIN_NETWORKS = [ip_network("10.0.0.0/8")]
    webhooks.send_due()
    assert receiver.came == []
    assert "network is not one of those" in again(delivery).error
    with pytest.raises(ValidationError, match="network is not one of those"):
        subscribed(planner, receiver)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1", "10.1.2.3"], ["10.1.2.3"], ["169.254.169.254"], ["::1"], ["::ffff:10.1.2.3"]],
)
def test_a_name_with_any_address_on_an_unlisted_network_is_refused(receiver, monkeypatch, answers):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, receiver.port)) for answer in answers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(egress.EgressRefused, match="network"):
        egress.post(f"http://receiver.test:{receiver.port}/", b"{}", {})


def test_a_name_that_answers_differently_the_second_time_is_reached_at_the_address_that_was_checked(
    receiver, monkeypatch
):
    asked = []
    real = socket.getaddrinfo

    def rebinding(host, *args, **kwargs):
        if host != "receiver.test":
            return real(host, *args, **kwargs)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.1.2.3"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, receiver.port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert egress.post(f"http://receiver.test:{receiver.port}/", b"{}", {}) == 200
    assert asked == ["receiver.test"]
    assert receiver.came[0][1]["Host"] == f"receiver.test:{receiver.port}"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://127.0.0.1/", "begins with https"),
        ("//127.0.0.1/", "begins with https"),
        ("http://user:word@127.0.0.1:8443/", "no user name"),
        ("http://@127.0.0.1:8443/", "no user name"),
        ("http://127.0.0.1:22/", "Port 22"),
        ("http://127.0.0.1:99999/", "not an address"),
        ("http://127.0.0.1:8443/#part", "before the #"),
        ("http://127.0.0.1:8443/\r\nX: y", "plain ASCII"),
        ("http://127.0.0.1:8443/a b", "plain ASCII"),
        ("http://[::1]:8443/", "network"),
        ("http://[::ffff:10.0.0.1]:8443/", "network"),
    ],
)
def test_an_address_that_may_not_be_asked_for_is_refused_with_a_sentence(settings, address, says):
    settings.WEBHOOK_PLAIN_NETWORKS, settings.WEBHOOK_PORTS = LOOPBACK, [8443]
    with pytest.raises(egress.EgressRefused, match=says):
        egress.inspect(address)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.000.000.001", "0", "localhost",
        "LOCALHOST", "localhost.", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "[::1%25lo]", "10.1.2.3%00.receiver.test", "%31%32%37.0.0.1", "10.1.2.3@127.0.0.1", "127.0.0.1#@10.1.2.3",
        "127.0.0.1\\@10.1.2.3", "①②⑦.0.0.1", "xn--lcalhost-54a.invalid", "10.1.2.3.127.0.0.1.invalid", "",
    ],
)  # fmt: skip
def test_no_spelling_of_an_unlisted_address_gets_out(settings, monkeypatch, host):
    settings.WEBHOOK_PLAIN_NETWORKS, settings.WEBHOOK_PORTS = [ip_network("10.0.0.0/8")], [8443]
    asked = []
    monkeypatch.setattr(egress, "_connection_to", lambda target: asked.append(target))
    with pytest.raises(egress.EgressRefused):
        egress.post(f"http://{host}:8443/", b"{}", {})
    assert asked == []


def test_plain_http_is_refused_where_only_tls_is_listed(settings):
    settings.WEBHOOK_NETWORKS, settings.WEBHOOK_PORTS = LOOPBACK, [8443]
    with pytest.raises(egress.EgressRefused, match="use https"):
        egress.inspect("http://127.0.0.1:8443/")
    settings.WEBHOOK_PLAIN_NETWORKS = [ip_network("10.0.0.0/8")]
    with pytest.raises(egress.EgressRefused, match="use https"):
        egress.resolve("http://127.0.0.1:8443/")
    assert egress.resolve("https://127.0.0.1:8443/").address == "127.0.0.1"


def a_certificate(folder, name: str) -> str:
    """Write a self-signed certificate with its key into one file and return where."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return str(path)


def test_a_certificate_is_checked_against_the_name_although_the_address_is_pinned(tmp_path, settings, monkeypatch):
    pem = a_certificate(tmp_path, "receiver.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    receiver = Receiver(context)
    settings.WEBHOOK_NETWORKS, settings.WEBHOOK_PORTS = LOOPBACK, [receiver.port]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: real("127.0.0.1" if host.endswith(".test") else host, *args, **kwargs),
    )
    try:
        with pytest.raises(egress.Unanswered, match="certificate"):
            egress.post(f"https://receiver.test:{receiver.port}/", b"{}", {})
        monkeypatch.setenv("SSL_CERT_FILE", pem)  # the machine now trusts it
        assert egress.post(f"https://receiver.test:{receiver.port}/", b"{}", {}) == 200
        with pytest.raises(egress.Unanswered, match="certificate"):
            egress.post(f"https://another.test:{receiver.port}/", b"{}", {})
    finally:
        receiver.close()


def test_without_a_listed_network_the_pages_say_so_and_nothing_is_sent(planner, receiver, settings):
    _, _, delivery = in_line(planner, receiver)
    settings.WEBHOOK_PLAIN_NETWORKS = []
    assert webhooks.gather() == webhooks.send_due() == 0
    assert (again(delivery).state, receiver.came) == ("waiting", [])
    client = logged_in(planner)
    assert "Nothing is sent." in client.get(PAGE).text
    assert "Nothing is sent." in client.get(f"{PAGE}new/").text
    with pytest.raises(ValidationError, match="lists no network"):
        subscribed(planner, receiver)


# --- Whose it is --------------------------------------------------------------------------


def test_the_secret_is_shown_once_and_stored_nowhere(planner, receiver):
    client = logged_in(planner)
    form = {"name": "Copy", "address": f"http://127.0.0.1:{receiver.port}/", "kinds": ["pledges"], "tier": "2"}
    answer = client.post(f"{PAGE}new/", form)
    secret = answer.context["secret"]
    assert answer.status_code == 200
    assert secret in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    with acting_as(SYSTEM):
        made = WebhookSubscription.objects.get()
        stored = WebhookSubscription.objects.values_list()[0]
    assert secret.removeprefix("whsec_") not in str(stored)
    for page in (PAGE, f"{PAGE}new/", f"{PAGE}{made.pk}/", f"{PAGE}{made.pk}/delete/"):
        shown = client.get(page)
        assert shown.status_code == 200
        assert secret not in shown.text


@pytest.mark.parametrize(
    ("field", "value"), [("name", " "), ("kinds", []), ("kinds", ["secrets"]), ("tier", "9"), ("address", "x")]
)
def test_a_webhook_that_cannot_be_made_is_refused_naming_the_field(planner, receiver, field, value):
    form = {"name": "Copy", "address": f"http://127.0.0.1:{receiver.port}/", "kinds": ["pledges"], "tier": "2"}
    answer = logged_in(planner).post(f"{PAGE}new/", form | {field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]


def test_the_webhook_of_another_planner_is_not_found_and_an_administrator_finds_all(planner, receiver):
    subscription, _, delivery = in_line(planner, receiver)
    with acting_as(SYSTEM):
        other, administrator = a_member(Role.PLANNER), a_member(Role.ADMINISTRATOR)
    page = f"{PAGE}{subscription.pk}/"
    client = logged_in(other)
    assert client.get(page).status_code == 404
    for step in ("pause/", "resume/", "test/", "delete/", f"deliveries/{delivery.pk}/replay/"):
        assert client.post(page + step).status_code == 404
    assert "Copy" not in client.get(PAGE).text
    assert "Copy" in logged_in(administrator).get(PAGE).text
    assert logged_in(administrator).get(page).status_code == 200


def test_the_database_too_shows_webhooks_to_their_owner_and_administrators_only(planner, receiver):
    in_line(planner, receiver)
    with acting_as(SYSTEM):
        other, administrator = a_member(Role.PLANNER), a_member(Role.ADMINISTRATOR)

    def seen(user) -> tuple[int, int]:
        with acting_as(user):
            return WebhookSubscription.objects.count(), WebhookDelivery.objects.count()

    assert [seen(user) for user in (planner, other, administrator)] == [(1, 1), (0, 0), (1, 1)]


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_who_may_keep_none_is_refused(db, receiver, role):
    with acting_as(SYSTEM):
        user = a_member(role)
    assert logged_in(user).get(PAGE).status_code == 403
    with pytest.raises(PermissionDenied):
        subscribed(user, receiver)


def test_one_person_has_no_more_webhooks_than_can_be_overseen(planner, receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST", 1)
    subscribed(planner, receiver)
    with pytest.raises(webhooks.TooManySubscriptions, match="Delete one"):
        subscribed(planner, receiver)


def test_a_delivery_of_another_subscription_is_not_replayed(planner, receiver):
    _, _, delivery = in_line(planner, receiver)
    other, _ = subscribed(planner, receiver)
    with acting_as(planner), pytest.raises(Http404):
        webhooks.replay(other.pk, delivery.pk, by=planner)


@pytest.mark.parametrize("loss", ["membership", "role", "account"])
def test_an_owner_who_may_keep_none_any_more_is_told_nothing_more(planner, receiver, monkeypatch, loss):
    subscription, _, delivery = in_line(planner, receiver)
    with acting_as(SYSTEM):
        if loss == "membership":
            planner.membership.delete()
        elif loss == "role":
            planner.membership.role = Role.ANALYST
            planner.membership.save()
        else:
            planner.is_active = False
            planner.save()
        a_condition()
    everything_is_over(monkeypatch)
    assert webhooks.send_due() == 0
    assert webhooks.gather() == 0
    assert receiver.came == []
    assert again(delivery).state == "dead"
    with acting_as(SYSTEM):
        subscription.refresh_from_db()
    assert (subscription.state, subscription.paused_because) == ("paused", "Its owner may keep no webhooks any more.")


def test_a_paused_webhook_sends_nothing_and_tells_afterwards_what_changed_meanwhile(planner, receiver, monkeypatch):
    subscription, _, _ = in_line(planner, receiver)
    client = logged_in(planner)
    assert client.post(f"{PAGE}{subscription.pk}/pause/").status_code == 302
    with acting_as(SYSTEM):
        a_condition()
    everything_is_over(monkeypatch)
    assert webhooks.gather() == webhooks.send_due() == 0
    assert client.post(f"{PAGE}{subscription.pk}/test/").status_code == 409
    assert client.post(f"{PAGE}{subscription.pk}/resume/").status_code == 302
    assert webhooks.gather() == 1
    assert webhooks.send_due() == 2


def test_a_deleted_webhook_takes_its_log_along(planner, receiver):
    subscription, _, _ = in_line(planner, receiver)
    client = logged_in(planner)
    assert "Delete the webhook" in client.get(f"{PAGE}{subscription.pk}/delete/").text
    assert client.post(f"{PAGE}{subscription.pk}/delete/").status_code == 302
    assert deliveries() == []


def test_the_log_is_kept_thirty_days_and_what_waits_is_kept(planner, receiver):
    _, _, old = in_line(planner, receiver)
    webhooks.send_due()
    _, _, young = in_line(planner, receiver)
    webhooks.send_due()
    _, _, waiting = in_line(planner, receiver)
    with acting_as(SYSTEM):
        long_ago = timezone.now() - timedelta(days=31)
        WebhookDelivery.objects.filter(pk__in=[old.pk, waiting.pk]).update(created_at=long_ago)
    housekeeping.clean_up()
    assert {delivery.pk for delivery in deliveries()} == {young.pk, waiting.pk}

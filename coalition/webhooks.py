"""Who is told that things changed, and was the message taken? Outgoing webhooks, signed by Standard Webhooks.

A message names kind, id and change of what its owner sees in the feed of changes, and where in the feed to go on; never
contents. The receiver reads those from the API, as itself. Deliveries are written in the transaction that moves the
subscription on in the feed, so nothing is skipped and nothing is told twice; a message may be *sent* more than once, with
the same id. Source of the format: standardwebhooks.com, "Standard Webhooks" specification 1.0.
"""

import base64
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q
from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.http import urlencode
from standardwebhooks import Webhook

from coalition import changes, egress
from coalition.access import SYSTEM, Actor, Role, Tier, acting_as, actor_of, can, demand
from coalition.editing import Refused
from coalition.models import User, WebhookDelivery, WebhookSubscription

MOST = 20  # subscriptions of one person
PER_MESSAGE = 100  # places of the feed, so at most as many changes
PAGES = 10  # of the feed, that one subscription reads in one go
KEEP = timedelta(days=30)
LEASE = timedelta(seconds=90)  # longer than a run: what is being sent is nobody else's
RUN_S = 8.0  # no delivery is begun later in a run; the next run begins every 10 s
LONGEST_RUN_S = 60
# Before the second attempt, the third, and so on: eight attempts in all, over a day.
PAUSES = [
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=7),
    timedelta(hours=12),
]
ATTEMPTS = len(PAUSES) + 1
SALT = "coalition.webhooks"

State = WebhookDelivery.State
ACTIVE, PAUSED = WebhookSubscription.State.ACTIVE, WebhookSubscription.State.PAUSED

log = logging.getLogger(__name__)


class TooManySubscriptions(Refused):
    """One person has as many subscriptions as one person may have."""

    code = "too_many_subscriptions"


class NotActive(Refused):
    """A paused subscription sends nothing."""

    code = "not_active"


# --- What people do -----------------------------------------------------------------------


def subscribe(*, by: User, name: str, address: str, kinds: Iterable[str], tier: int) -> tuple[WebhookSubscription, str]:
    """Make a subscription of one's own that begins now; return it with its secret, which is to be shown once.

    Raises ValidationError naming the field, TooManySubscriptions, and PermissionDenied.
    """
    demand(by, "keep_webhooks")
    kinds = sorted(set(kinds))
    errors = {}
    if not name.strip() or len(name) > 100:
        errors["name"] = "Say in up to 100 characters what it is for."
    if not kinds or not set(kinds) <= changes.resources().keys():
        errors["kinds"] = "Choose at least one of the kinds there are."
    if tier not in Tier.values or tier > actor_of(by).tier:
        errors["tier"] = "This is not a tier you can give."
    try:
        egress.inspect(address)
    except egress.EgressRefused as refusal:
        errors["address"] = str(refusal)
    if len(address) > 500:
        errors["address"] = "An address has up to 500 characters."
    if errors:
        raise ValidationError(errors)
    User.objects.select_for_update().get(pk=by.pk)  # two at once cannot both be the last one
    if WebhookSubscription.objects.filter(user=by).count() >= MOST:
        raise TooManySubscriptions(f"You have {MOST} subscriptions. Delete one that is no longer used.")
    place = changes.here()
    made = WebhookSubscription.objects.create(
        user=by,
        name=name.strip(),
        address=address,
        kinds=kinds,
        tier=tier,
        place=[place.xid, place.kind, place.pk],
    )
    return made, secret_of(made)


def secret_of(subscription: WebhookSubscription) -> str:
    """Return what its messages are signed with: 32 bytes worked out from SECRET_KEY and the id, stored nowhere."""
    key = salted_hmac(SALT, subscription.pk.hex, algorithm="sha256").digest()
    return "whsec_" + base64.b64encode(key).decode()


def find(pk: UUID, *, by: User) -> WebhookSubscription:
    """Return a subscription, locked. Raises Http404 for what is not one's own (administrators: for none)."""
    demand(by, "keep_webhooks")
    found = WebhookSubscription.objects.visible_to(by).select_for_update(of=("self",)).filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such subscription.")
    return found


def pause(pk: UUID, *, by: User) -> WebhookSubscription:
    """Send nothing until it is resumed; what changes meanwhile is told then."""
    found = find(pk, by=by)
    _stop(found, f"Paused by {by.get_username()}.")
    return found


def resume(pk: UUID, *, by: User) -> WebhookSubscription:
    """Go on where it stood in the feed. Raises NotActive when its owner may keep no webhooks any more."""
    found = find(pk, by=by)
    if not can(found.user, "keep_webhooks"):
        raise NotActive("Its owner may keep no webhooks any more.")
    found.state, found.paused_because = ACTIVE, ""
    found.save(update_fields=["state", "paused_because"])
    return found


def delete(pk: UUID, *, by: User) -> WebhookSubscription:
    """Delete a subscription with its log; return what it was. Its secret never comes again."""
    found = find(pk, by=by)
    WebhookSubscription.objects.filter(pk=pk).delete()
    return found


def send_test(pk: UUID, *, by: User) -> WebhookDelivery:
    """Put a message that tells of nothing in line. Raises NotActive."""
    found = _active(pk, by=by)
    return _write(found, "test", {"subscription": found.name})


def replay(pk: UUID, delivery_id: UUID, *, by: User) -> WebhookDelivery:
    """Send a message once more, with its old id, and with all its attempts. Raises Http404 and NotActive."""
    found = _active(pk, by=by)
    delivery = found.deliveries.select_for_update().filter(pk=delivery_id).first()
    if delivery is None:
        raise Http404("There is no such delivery.")
    if delivery.state != State.WAITING:
        delivery.state, delivery.attempts, delivery.next_at, delivery.error = State.WAITING, 0, timezone.now(), ""
        delivery.save(update_fields=["state", "attempts", "next_at", "error"])
    return delivery


def _active(pk: UUID, *, by: User) -> WebhookSubscription:
    found = find(pk, by=by)
    if found.state != ACTIVE:
        raise NotActive("It is paused. Resume it first.")
    return found


def _stop(subscription: WebhookSubscription, because: str) -> None:
    subscription.state, subscription.paused_because = PAUSED, because[:200]
    subscription.save(update_fields=["state", "paused_because"])


# --- From the feed to deliveries ----------------------------------------------------------


def sight_of(subscription: WebhookSubscription) -> Actor:
    """Return who looks at the feed for a subscription: its owner, no higher than its tier, for no nation of their own.

    Below the planning tier it looks as an analyst: a planner's role sees more than its tier says.
    """
    owner = actor_of(subscription.user)
    tier = min(owner.tier, subscription.tier)
    return replace(owner, tier=tier, nation="", role=owner.role if tier == Tier.PLANNING else Role.ANALYST)


def gather() -> int:
    """Write deliveries for all that changed since each subscription last looked; return how many. Own transactions."""
    if not egress.is_open():
        return 0
    with acting_as(SYSTEM):
        subscriptions = list(WebhookSubscription.objects.filter(state=ACTIVE).select_related("user__membership"))
    made = 0
    for subscription in subscriptions:
        if not can(subscription.user, "keep_webhooks"):
            _retire(subscription)
            continue
        try:
            for _ in range(PAGES):
                written, more = _gather_page(subscription)
                made += written
                if not more:
                    break
        except SoftTimeLimitExceeded:
            raise  # the next run goes on
        except Exception:
            log.exception("Webhook subscription %s could not be gathered for.", subscription.pk)
    return made


def _gather_page(subscription: WebhookSubscription) -> tuple[int, bool]:
    """Read one page, write what it tells, and move on, in one transaction; return how many written, whether more is."""
    sight = sight_of(subscription)
    with acting_as(sight):
        rows = WebhookSubscription.objects.filter(pk=subscription.pk, state=ACTIVE)
        locked = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if locked is None:  # paused, deleted, or in another worker's hands
            return 0, False
        after = changes.Place(*locked.place)
        page = changes.changes_for(sight, locked.kinds, after, PER_MESSAGE)
        if page.place == after:
            return 0, False
        rows.update(place=[page.place.xid, page.place.kind, page.place.pk])
        if not page.changes:
            return 0, page.more
        told = [{name: change[name] for name in ("kind", "id", "change")} for change in page.changes]
        query = urlencode({"kind": ",".join(locked.kinds), "cursor": changes.write_cursor(after)})
        _write(locked, "changes", {"changes": told, "feed": f"{reverse('api:changes')}?{query}"})
        return 1, page.more


def _write(subscription: WebhookSubscription, what: str, data: dict) -> WebhookDelivery:
    payload = {"type": what, "timestamp": timezone.now().isoformat(timespec="seconds"), "data": data}
    return WebhookDelivery.objects.create(subscription=subscription, payload=payload)


def _retire(subscription: WebhookSubscription) -> None:
    """Stop a subscription whose owner may keep none any more, and give up what was still to be sent."""
    with acting_as(SYSTEM):
        because = "Its owner may keep no webhooks any more."
        _stop(subscription, because)
        subscription.deliveries.filter(state=State.WAITING).update(state=State.DEAD, error=because)


# --- From deliveries to the network -------------------------------------------------------


def send_due(*, budget_s: float = RUN_S) -> int:
    """Send what is due, the longest due first, for ``budget_s`` seconds; return how many were tried. Own transactions.

    A subscription whose message was not taken is left alone for the rest of the run: it does not hold up the others.
    """
    if not egress.is_open():
        return 0
    tried = 0
    failed: set[UUID] = set()
    until = time.monotonic() + budget_s
    while time.monotonic() < until and (delivery := _claim(failed)):
        subscription = delivery.subscription
        if not can(subscription.user, "keep_webhooks"):
            _retire(subscription)
            continue
        status, error = _send(delivery)
        _note(delivery, status, error)
        tried += 1
        if error:
            failed.add(subscription.pk)
    return tried


def _claim(without: set[UUID]) -> WebhookDelivery | None:
    """Take the delivery that has been due longest: count the attempt and commit that, so that no other worker sends it."""
    now = timezone.now()
    with acting_as(SYSTEM):
        active = WebhookSubscription.objects.filter(pk=OuterRef("subscription_id"), state=ACTIVE)
        due = WebhookDelivery.objects.filter(Exists(active), state=State.WAITING, next_at__lte=now)
        due = due.exclude(subscription__in=without).order_by("next_at", "created_at")
        found = due.select_for_update(skip_locked=True, of=("self",)).first()
        if found is None:
            return None
        found.attempts, found.next_at, found.sent_at = found.attempts + 1, now + LEASE, now
        found.save(update_fields=["attempts", "next_at", "sent_at"])
        return WebhookDelivery.objects.select_related("subscription__user__membership").get(pk=found.pk)


def _send(delivery: WebhookDelivery) -> tuple[int | None, str]:
    """Send a message now; return the status, None without an answer, and what was wrong, empty when it was taken."""
    if delivery.attempts > ATTEMPTS:
        return None, "Its last worker died."
    now = timezone.now()
    body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "coalition-readiness-webhooks/1",
        "webhook-id": str(delivery),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret_of(delivery.subscription)).sign(str(delivery), now, body),
    }
    try:
        status = egress.post(delivery.subscription.address, body.encode(), headers)
    except (egress.EgressRefused, egress.Unanswered) as error:
        return None, str(error)
    if 300 <= status < 400:
        return status, "It answered with a redirect. Redirects are not followed."
    return status, "" if 200 <= status < 300 else f"It answered {status}."


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """Return when to try again after so many attempts (1 and up), None when that was the last."""
    return now + PAUSES[attempts - 1] if attempts < ATTEMPTS else None


def _note(delivery: WebhookDelivery, status: int | None, error: str) -> None:
    """Write down what became of an attempt, unless the message was given to another meanwhile."""
    again = next_attempt(delivery.attempts, timezone.now()) if error else None
    outcome: dict[str, Any]
    if not error:
        outcome = {"state": State.DELIVERED}
    elif again:
        outcome = {"next_at": again}
    else:
        outcome = {"state": State.DEAD}
        error = f"{error} Given up after {ATTEMPTS} attempts."
    with acting_as(SYSTEM):
        mine = Q(pk=delivery.pk, state=State.WAITING, attempts=delivery.attempts)
        WebhookDelivery.objects.filter(mine).update(status=status, error=error, **outcome)


def forget() -> None:
    """Delete what was delivered or given up more than ``KEEP`` ago. Call while acting as the system."""
    over = WebhookDelivery.objects.exclude(state=State.WAITING)
    over.filter(created_at__lt=timezone.now() - KEEP).delete()

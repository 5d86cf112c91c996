"""On which version is a write based, and was it sent before? For pages and API alike.

Every write names the version it was based on (``If-Match`` or the form field ``version``): missing is 428, stale 412.
Creates may carry an ``Idempotency-Key`` (or the form field ``idempotency_key``): sent twice, they answer the same.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models, transaction
from django.http import Http404, HttpRequest, QueryDict
from rest_framework.utils.encoders import JSONEncoder

from coalition.access import Tier, acting_as, actor_of
from coalition.bookkeeping import Record
from coalition.models import IdempotencyKey

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2100, 12, 31)  # a day outside is a slip of the hand
LONGEST_KEY = 200
NOT_A_FIELD = {"csrfmiddlewaretoken", "idempotency_key"}
TAG = re.compile(r'"(?:(?P<kind>[a-z]+)-(?P<pk>[A-Za-z0-9]+)-v)?(?P<version>[1-9][0-9]{0,8})"')

RecordT = TypeVar("RecordT", bound=Record)


class Refused(Exception):
    """A write the rules do not allow. ``str()`` is a sentence for people; ``status`` is the HTTP status it deserves."""

    status = 409
    code = "refused"


class VersionMissing(Refused):
    """The write does not say which version it was based on."""

    status = 428
    code = "version_missing"


class VersionStale(Refused):
    """Somebody wrote in between. ``current`` is the row as it stands now, ``based_on`` the version the writer knew."""

    status = 412
    code = "version_stale"

    def __init__(self, current: Record, based_on: int | None = None):
        super().__init__("Somebody changed it in the meantime. Compare both versions, then save again.")
        self.current = current
        self.based_on = based_on


class KeyMalformed(Refused):
    """The idempotency key is empty or too long."""

    status = 400
    code = "key_malformed"


class KeyReused(Refused):
    """The same idempotency key came with other content."""

    status = 422
    code = "key_reused"


# --- Versions -----------------------------------------------------------------------------


def etag(thing: Record) -> str:
    """Return the strong entity tag of a row, such as ``"pledge-12-v3"`` (quotes included). Source: RFC 9110, 8.8.3."""
    return f'"{thing._meta.model_name}-{thing.pk}-v{thing.version}"'


def version_asked(request: HttpRequest, thing: Record | None = None) -> int:
    """Return the version a write is based on, from ``If-Match``, else from the form field ``version``.

    ``If-Match`` holds one strong tag: as ``etag`` makes it, or the quoted number alone. Raise VersionMissing when there
    is none, or it is ``*``, weak, a list or unreadable; VersionStale when it is the tag of another row than ``thing``.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header:
        field = request.POST.get("version", "").strip()
        if not re.fullmatch(r"[1-9][0-9]{0,8}", field, re.ASCII):
            raise VersionMissing("Say which version the change is based on: If-Match, or the form field version.")
        return int(field)
    if header == "*":
        raise VersionMissing("If-Match: * would overwrite what others wrote. Send the ETag you were given.")
    if header.startswith("W/"):
        raise VersionMissing("If-Match needs the strong ETag; a weak one (W/) does not name a version.")
    tag = TAG.fullmatch(header)
    if tag is None:
        raise VersionMissing('If-Match must hold one ETag as it was given, such as "pledge-12-v3" or "3".')
    if thing is not None and tag["kind"] and (tag["kind"], tag["pk"]) != (thing._meta.model_name, str(thing.pk)):
        raise VersionStale(thing)
    return int(tag["version"])


def compare(thing: Record, based_on: int | None) -> None:
    """Raise VersionStale unless the row is still what the write was based on. ``None`` does not compare."""
    if based_on is not None and thing.version != based_on:
        raise VersionStale(thing, based_on)


def lock(queryset: models.QuerySet[RecordT], pk: Any, *, based_on: int | None = None) -> RecordT:
    """Return one row, locked to the end of the transaction, so that what is checked still holds when it is written.

    Raise Http404 when it is not in the queryset, VersionStale when it is not at ``based_on`` any more. To meet nobody
    head-on take locks in this order: requirements, pledges, allocations, conditions; each by rising id.
    """
    # Not the key: foreign keys to the row may be written meanwhile, else two writers could wait for each other.
    try:
        thing = queryset.select_for_update(no_key=True, of=("self",)).get(pk=pk)
    except (queryset.model.DoesNotExist, ValueError, TypeError, OverflowError) as missing:
        raise Http404(f"There is no such {queryset.model._meta.verbose_name}.") from missing
    compare(thing, based_on)
    return thing


def find(given: Any, queryset: models.QuerySet[RecordT], code: str) -> RecordT:
    """Return the row meant by a row, a code (text, looked up in the field ``code``) or an id (a number).

    Raise Http404 when the queryset, which should hold only what the person may see, does not have it.
    """
    if isinstance(given, models.Model):
        given, code = given.pk, "pk"
    elif isinstance(given, int) and not isinstance(given, bool):
        code = "pk"
    elif not isinstance(given, str) or not is_storable(given):
        raise Http404
    try:
        return queryset.get(**{code: given})
    except (queryset.model.DoesNotExist, ValueError, OverflowError) as missing:
        raise Http404 from missing


@contextmanager
def seeing_all(by) -> Iterator[None]:
    """Act as the same person, but let a rule see every row: for rules that must hold over rows the person may not see.

    What is read inside may never reach an answer, a page or an error text.
    """
    with acting_as(replace(actor_of(by), tier=Tier.PLANNING)):
        yield


# --- Content ------------------------------------------------------------------------------


def is_storable(text: str) -> bool:
    """Return False for text PostgreSQL cannot hold: NUL, or half of a surrogate pair, which JSON can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def is_id(text: str) -> bool:
    """Return True for what may be the id of a row: digits, and no more than a database can count."""
    return text.isascii() and text.isdigit() and len(text) < 19


def assign(thing: models.Model, changes: Mapping[str, Any], *, fields: Collection[str]) -> None:
    """Set the named fields of a row that is not yet saved. Raise ValidationError for a name not among ``fields``."""
    unknown = sorted(set(changes) - set(fields))
    if unknown:
        raise ValidationError(dict.fromkeys(unknown, "There is no such field, or it is not changed here."))
    for name, value in changes.items():
        field = thing._meta.get_field(name)
        if isinstance(value, str) and isinstance(field, models.CharField | models.TextField):
            value = value.strip()
        if isinstance(value, float) and isinstance(field, models.DecimalField):
            value = Decimal(repr(value))  # the figure as it was typed, not its binary neighbour
        if value is None and isinstance(field, models.CharField | models.TextField):
            value = ""
        if value == "" and field.null:
            value = None
        setattr(thing, name, value)


def check(thing: models.Model, *, unique: bool = True) -> None:
    """Clean every field of a row, its types included. Raise ValidationError with a sentence per field.

    Beyond what the model says: text must be storable and short enough, days between 1990 and 2100, windows in order.
    Foreign keys are taken as they are: whoever resolved them has checked that they exist and may be seen.
    """
    problems: dict[str, list[str]] = {}
    fields = thing._meta.concrete_fields
    for field in fields:
        value = getattr(thing, field.attname)
        if isinstance(value, str):
            if not is_storable(value):
                problems[field.name] = ["This text holds characters that cannot be stored."]
            elif isinstance(field, models.TextField) and field.max_length and len(value) > field.max_length:
                problems[field.name] = [f"At most {field.max_length} characters; this has {len(value)}."]
    try:
        thing.clean_fields(exclude={field.name for field in fields if field.is_relation} | set(problems))
    except ValidationError as error:
        problems.update(error.message_dict)
    for field in fields:
        if field.is_relation and not field.null and getattr(thing, field.attname) is None:
            problems.setdefault(field.name, ["This field is required."])
        value = getattr(thing, field.attname)
        if isinstance(value, float) and not math.isfinite(value):
            problems.setdefault(field.name, ["Enter a number."])
        if type(value) is date and not FIRST_DAY <= value <= LAST_DAY:
            problems.setdefault(field.name, [f"Days lie between {FIRST_DAY} and {LAST_DAY}."])
    for first, last in _windows(thing):
        if not {first, last} & set(problems):
            starts, ends = getattr(thing, first), getattr(thing, last)
            if starts and ends and ends < starts:
                problems[last] = ["The last day cannot come before the first."]
    if unique and not problems:
        try:
            thing.validate_unique()
            thing.validate_constraints()
        except ValidationError as error:
            problems.update(error.message_dict)
    if problems:
        raise ValidationError(problems)


def _windows(thing: models.Model) -> list[tuple[str, str]]:
    names = {field.name for field in thing._meta.concrete_fields}
    return [
        (name, name.replace("_from", "_until"))
        for name in names
        if name.endswith("_from") and name.replace("_from", "_until") in names
    ]


# --- The same create, sent twice ------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a create answered: status and JSON body; for a page 302 and where it went. ``replayed``: sent before."""

    status: int
    body: Any
    replayed: bool = False

    @classmethod
    def redirect(cls, location: str) -> "Answer":
        """Return the answer of a form that was accepted."""
        return cls(status=302, body={"location": location})

    @property
    def headers(self) -> dict[str, str]:
        """What a program is told about the answer."""
        return {"Idempotency-Replayed": "true"} if self.replayed else {}

    @property
    def location(self) -> str:
        """Where a page's answer leads, or nothing."""
        return self.body.get("location", "") if self.status == 302 else ""


def once(request: HttpRequest, create: Callable[[], Answer]) -> Answer:
    """Run a create and keep its answer under the request's idempotency key; the same request again gets that answer.

    Without a key it simply runs. The key is inserted first, so a twin sent at the same moment waits for this
    transaction and then finds the answer, or, if this one is taken back, creates in its place. What raises leaves no
    key.
    Raise KeyMalformed (400), or KeyReused (422) when the key came with other content.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        key = request.POST.get("idempotency_key") or None
    if key is None:
        return _plain(create())
    if not key.strip() or len(key) > LONGEST_KEY or "\0" in key:
        raise KeyMalformed(f"An idempotency key has 1 to {LONGEST_KEY} characters.")
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        kept, is_new = IdempotencyKey.objects.get_or_create(
            user_id=request.user.pk, key=key, defaults={"request_hash": fingerprint}
        )
        if kept.request_hash != fingerprint:
            raise KeyReused("This idempotency key was already used for other content. Take a new one.")
        if not is_new:
            return Answer(status=kept.status, body=kept.answer, replayed=True)
        answer = _plain(create())
        kept.status, kept.answer = answer.status, answer.body
        kept.save(update_fields=["status", "answer"])
    return answer


def _plain(answer: Answer) -> Answer:
    """The body as JSON would carry it, so that the first answer and its repeats are equal."""
    return replace(answer, body=json.loads(json.dumps(answer.body, cls=JSONEncoder)))


def _fingerprint(request: HttpRequest) -> str:
    data = request.data if hasattr(request, "data") else request.POST
    if isinstance(data, QueryDict):
        data = {name: values for name, values in data.lists() if name not in NOT_A_FIELD and name not in request.FILES}
    files = [[name, file.name, _digest(file)] for name, file in sorted(request.FILES.items())]
    said = json.dumps([request.method, request.path, data, files], sort_keys=True, cls=JSONEncoder)
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()


def _digest(file: UploadedFile) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()

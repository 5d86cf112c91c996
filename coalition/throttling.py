"""May this caller ask again so soon? Limits per minute, per token or person, counted in the broker's Redis.

The cache is in PostgreSQL and no place to count: a request that is taken back would take its count back, and two of one
person would wait for each other. Without Redis nothing is limited (ADR 105).
"""

import logging
import time

import redis
from django.conf import settings
from rest_framework.throttling import BaseThrottle

from coalition.models import ApiToken
from coalition.renderers import Export

PERIOD_S = 60
SILENCE_S = 5.0  # after a failure nobody asks Redis, and waits for it, for so long

REQUESTS, FILES = "requests", "files"  # scopes of settings.API_PER_MINUTE; the others are named by viewsets

log = logging.getLogger(__name__)
_silent_until = 0.0
_client = redis.Redis.from_url(
    settings.CELERY_BROKER_URL, socket_connect_timeout=0.2, socket_timeout=0.2, retry=None, max_connections=50
)


class PerMinute(BaseThrottle):
    """Every request counts; what is dear counts in its own scope as well. A limit of 0 is none.

    Dear are whole files, and the actions that a viewset's ``dear`` maps to a scope.
    """

    waits_s = 0.0

    def allow_request(self, request, view) -> bool:
        if hasattr(request, "work"):
            return True  # a worker that makes a file which was counted when it was asked for
        scopes = [REQUESTS]
        if isinstance(request.accepted_renderer, Export):
            scopes.append(FILES)
        if dear := getattr(view, "dear", {}).get(getattr(view, "action", None)):
            scopes.append(dear)
        self.waits_s = wait_s(caller_of(request), scopes)
        return not self.waits_s

    def wait(self) -> float:
        return self.waits_s


def caller_of(request) -> str:
    """Return who is counted: a token by itself, so that a program never shuts its owner's browser out."""
    if isinstance(request.auth, ApiToken):
        return f"token-{request.auth.pk}"
    return f"person-{request.user.pk}"


def wait_s(caller: str, scopes: list[str]) -> float:
    """Count one request in each scope; return how many seconds to wait, 0 when it is within every limit.

    A minute begins with the clock's, so a caller who has waited is let in at once.
    """
    limits = {scope: limit for scope in scopes if (limit := settings.API_PER_MINUTE[scope])}
    minute, into_s = divmod(time.time(), PERIOD_S)
    counts = _counted([f"asked:{caller}:{scope}:{int(minute)}" for scope in limits])
    too_many = any(count > limit for count, limit in zip(counts, limits.values(), strict=False))
    return PERIOD_S - into_s if too_many else 0.0


def _counted(keys: list[str]) -> list[int]:
    """Add one to each key and return what they are now; nothing where Redis does not answer."""
    global _silent_until
    if not keys or time.monotonic() < _silent_until:
        return []
    try:
        with _client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.incr(key).expire(key, 2 * PERIOD_S)
            return pipe.execute()[::2]
    except (redis.RedisError, OSError):
        _silent_until = time.monotonic() + SILENCE_S
        log.warning("Redis does not answer; for now nobody is asked to wait.", exc_info=True)
        return []

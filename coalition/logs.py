"""Which request a line of the log is about: the id that the answer carries and the proxy writes down too."""

import logging
from contextvars import ContextVar

asked: ContextVar[str] = ContextVar("asked", default="-")  # the id of the request this thread answers


class NameRequest(logging.Filter):
    """Give every record ``request_id``, a dash where no request is being answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = asked.get()
        return True

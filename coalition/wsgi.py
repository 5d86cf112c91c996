"""The door for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coalition.settings")

application = get_wsgi_application()
# Before the server forks: else each worker imports all views for itself, and its first visitor waits for it.
get_resolver().url_patterns  # noqa: B018

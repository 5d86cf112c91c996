"""The project package and the shared kernel: who is in, who may do what, how work is carried."""

from coalition.celery import app as celery_app

__all__ = ["celery_app"]

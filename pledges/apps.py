"""How the app is installed."""

from django.apps import AppConfig


class PledgesConfig(AppConfig):
    """What is needed and what is offered."""

    name = "pledges"
    verbose_name = "Pledges"

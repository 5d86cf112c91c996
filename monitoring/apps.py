"""How the app is installed."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """What was seen on the ground."""

    name = "monitoring"
    verbose_name = "Monitoring"

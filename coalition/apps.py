"""How the kernel, and the admin, are installed."""

from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class CoalitionConfig(AppConfig):
    """The kernel."""

    name = "coalition"
    verbose_name = "Coalition"


class OurAdminConfig(SimpleAdminConfig):
    """The admin of our own apps only: discovering django-leaflet's would ask for the GDAL system library."""

    def ready(self) -> None:
        super().ready()
        for app in ("coalition", "pledges", "monitoring"):
            import_module(f"{app}.admin")

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig

from .identity import LABEL
from .serving.handler import confine_receivers


class DemoSiteConfig(AppConfig):
    name = "demo_site"
    label = LABEL
    verbose_name = "Configuration"

    def ready(self) -> None:
        confine_receivers()


class DemoAdminConfig(AdminConfig):
    default_site = "demo_site.admin.site.DemoAdminSite"

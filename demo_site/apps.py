from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.signals import user_login_failed

from .identity import LABEL
from .serving.logins import log_failure


class DemoSiteConfig(AppConfig):
    name = "demo_site"
    label = LABEL
    verbose_name = "Configuration"

    def ready(self) -> None:
        user_login_failed.connect(log_failure)


class DemoAdminConfig(AdminConfig):
    default_site = "demo_site.admin.site.DemoAdminSite"

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig

from .identity import LABEL


class DemoSiteConfig(AppConfig):
    name = "demo_site"
    label = LABEL
    verbose_name = "Configuration"


class DemoAdminConfig(AdminConfig):
    default_site = "demo_site.admin.site.DemoAdminSite"

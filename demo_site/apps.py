from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class DemoSiteConfig(AppConfig):
    name = "demo_site"
    verbose_name = "Configuration"


class DemoAdminConfig(AdminConfig):
    default_site = "demo_site.admin.DemoAdminSite"

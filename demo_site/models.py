from django.db import models
from django.utils.translation import gettext_lazy as _


class EffectiveConfiguration(models.Model):
    """No table: it carries the permissions, as Django keeps permissions with models."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (
            ("view_effective_configuration", "Can view the effective configuration"),
            ("change_configuration", "Can change the configuration"),
            ("roll_back_configuration", "Can roll the configuration back"),
        )
        verbose_name = _("effective configuration")
        verbose_name_plural = _("effective configuration")

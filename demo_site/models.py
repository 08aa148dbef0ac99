from django.db import models


class EffectiveConfiguration(models.Model):
    """No table: it carries the permission, as Django keeps permissions with models."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (("view_effective_configuration", "Can view the effective configuration"),)
        verbose_name = "effective configuration"
        verbose_name_plural = "effective configuration"

from django.db import migrations

from ..identity import LABEL


class Migration(migrations.Migration):
    dependencies = [
        (LABEL, "0001_permissions"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="effectiveconfiguration",
            options={
                "default_permissions": (),
                "managed": False,
                "permissions": (
                    ("view_effective_configuration", "Can view the effective configuration"),
                    ("change_configuration", "Can change the configuration"),
                    ("roll_back_configuration", "Can roll the configuration back"),
                ),
                "verbose_name": "effective configuration",
                "verbose_name_plural": "effective configuration",
            },
        ),
    ]

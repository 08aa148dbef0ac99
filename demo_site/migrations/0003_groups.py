from typing import Any

from django.db import migrations

from ..identity import LABEL

_VIEW = ("view_effective_configuration", "Can view the effective configuration")
_CHANGE = ("change_configuration", "Can change the configuration")
_ROLL_BACK = ("roll_back_configuration", "Can roll the configuration back")
GROUPS = {
    "Configuration viewers": (_VIEW,),
    "Configuration editors": (_VIEW, _CHANGE),
    "Configuration operators": (_VIEW, _CHANGE, _ROLL_BACK),
}


def make_groups(apps: Any, schema_editor: Any) -> None:
    """Make each group that is not there yet. Django makes the permissions later: those that it finds, it leaves."""
    groups, permissions = apps.get_model("auth", "Group").objects, apps.get_model("auth", "Permission").objects
    types = apps.get_model("contenttypes", "ContentType").objects
    content_type, _made = types.get_or_create(app_label=LABEL, model="effectiveconfiguration")
    for name, rights in GROUPS.items():
        group, is_new = groups.get_or_create(name=name)
        if is_new:
            found = [
                permissions.get_or_create(content_type=content_type, codename=codename, defaults={"name": text})[0]
                for codename, text in rights
            ]
            group.permissions.set(found)


class Migration(migrations.Migration):
    dependencies = [
        (LABEL, "0002_permissions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Backwards the groups stay: they may have members.
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]

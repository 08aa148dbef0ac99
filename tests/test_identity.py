"""What the service is called: one module says it, and what is stored under a name keeps that name."""

import json

from tests.support.documents import SMALLEST, raw


def test_fingerprints_stay_the_same_from_version_to_version(new_site, tmp_path):
    """Operators compare them between instances, also while a fleet is being upgraded."""
    path = tmp_path / "document.json"
    path.write_bytes(raw(SMALLEST))
    site = new_site({"DEMO_CONFIG_FILE": str(path), "DJANGO_SECRET_KEY": "the same for all instances"})
    rows = json.loads(site.command("effective_config", "--format", "json").stdout)
    shown = {row["setting"]: row["value"] for row in rows}
    assert shown["redis_config.redis_password"] == "•••••••• (fingerprint e333de7b)"

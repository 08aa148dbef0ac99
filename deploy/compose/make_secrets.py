"""Makes the secrets of compose.yaml, once: random values, one for each file below secrets/.

Compose mounts each file as it is, owner and mode included, and each container runs as a user of its own. So the files
are readable for everybody, and the folder keeps everybody out.
"""

import secrets
import sys
import uuid
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "secrets"

_ACL = """\
acl {{
  enabled        = true
  default_policy = "deny"
  tokens {{
    initial_management = "{token}"
    agent              = "{token}"
  }}
}}
"""


def contents() -> dict[str, str]:
    """By name of the file. Some are in two: for who asks for the secret, and for who gives it."""
    management, redis, postgres = str(uuid.uuid4()), secrets.token_hex(24), secrets.token_hex(24)
    return {
        "consul_acl.hcl": _ACL.format(token=management),
        "consul_management_token": management,
        "consul_site_token": str(uuid.uuid4()),
        "database_url": f"postgres://mydemo:{postgres}@postgres/mydemo\n",
        "django_secret_key": secrets.token_urlsafe(50),
        "postgres_password": postgres,
        "redis.conf": f"requirepass {redis}\nappendonly yes\n",
        "redis_password": redis,
    }


def make(folder: Path) -> None:
    """Raises `FileExistsError` where the folder is there: other values would fit no data that was stored with those."""
    folder.mkdir(mode=0o700)
    for name, content in contents().items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o444)


if __name__ == "__main__":
    try:
        make(FOLDER)
    except FileExistsError:
        sys.exit(f"{FOLDER} is there already. To begin anew, remove it and the volumes: docker compose down --volumes")

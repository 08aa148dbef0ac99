#!/usr/bin/env python
"""Django's command line, with the exit statuses of the four start-up conditions."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        install = "pip install --require-hashes -r requirements.lock"
        sys.exit(f"Django is not installed here ({error}). Run `make run`, or: {install}")
    from demo_site.startup import run_command

    run_command(execute_from_command_line, sys.argv)


if __name__ == "__main__":
    main()

"""Passwords are hashed beside the requests: one at a time, by a process of low priority.

A login takes a fifth of a second of a CPU. A thread of low priority would not do: it may hold the interpreter lock, and
with it the event loop, while it waits for the CPU.
"""

import base64
import os
import subprocess  # nosec B404
import sys
import threading

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.views.decorators.debug import sensitive_variables

# At the lowest priority a login would starve where pages use all of the CPU; this one has a tenth of their weight.
# What it is given stands neither on a command line nor in an environment: others could read both.
_PROGRAM = """
import hashlib, os, sys
os.nice(10)
digest, password, salt, iterations = sys.stdin.read().split()
print(hashlib.pbkdf2_hmac(digest, bytes.fromhex(password[1:]), bytes.fromhex(salt), int(iterations)).hex())
"""
_SECONDS = 60
_turn = threading.Lock()


class PasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher under its name, so the stored passwords stay valid."""

    @sensitive_variables()
    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """As Django's. Raises `OSError` or `subprocess.SubprocessError` where no process can be started."""
        self._check_encode_args(password, salt)  # type: ignore[attr-defined]
        iterations = iterations or self.iterations
        given = f"{self.digest().name} -{password.encode().hex()} {salt.encode().hex()} {iterations}"
        environment = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
        with _turn:
            done = subprocess.run(  # noqa: S603 (a program of our own, for this interpreter)  # nosec B603
                command, input=given, stdout=subprocess.PIPE, env=environment, text=True, timeout=_SECONDS, check=True
            )
        return f"{self.algorithm}${iterations}${salt}${base64.b64encode(bytes.fromhex(done.stdout)).decode()}"

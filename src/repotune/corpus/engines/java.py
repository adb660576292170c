"""The Java that Spark runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from repotune.core.errors import UserError

LEAST_JAVA = 17
"""Spark 4 needs it, with all its modules: a trimmed one, without jdk.incubator.vector, does not start it."""


def find_java() -> tuple[str, int]:
    """The `java` that JAVA_HOME or PATH names, and its major version. Raises UserError where none will do."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if path is None:
        raise UserError(
            f"Spark needs Java {LEAST_JAVA} or later, and {'JAVA_HOME holds' if home else 'there is'} none.",
            "install a JRE, such as Debian's openjdk-17-jre-headless or Homebrew's openjdk@17, and set JAVA_HOME to it",
        )
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = java_version(said)
    if version < LEAST_JAVA:
        raise UserError(
            f"Spark needs Java {LEAST_JAVA} or later; {path} is {f'Java {version}' if version else 'none that runs'}.",
            "set JAVA_HOME to a later one",
        )
    return path, version


def java_version(said: str) -> int:
    """The major version in what `java -version` says; 0 where there is none. Up to 8 they were called 1.8."""
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else 0

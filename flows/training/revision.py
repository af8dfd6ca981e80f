"""Which revision of the code is running.

Decides nothing: asks git, and says ``unknown`` where the project is not a checkout. Never fails.
"""

import subprocess

from flows.versions import ROOT


def git_revision() -> str:
    """Return the commit of the checkout, with ``+`` where files of it were changed."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ("git", *arguments),  # noqa: S607 - git of the machine
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

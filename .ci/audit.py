"""Ask the advisory database about the locked packages.

Decides whether a lock holds a package with a known vulnerability: then it exits with 1. Never
passes in silence: where the database cannot be reached it says so and exits with 0, because a
machine without internet must still be able to run the checks.
"""

import json
import subprocess
import sys


def audit(lock: str) -> bool:
    """Return False where ``lock`` holds a vulnerable package; print one line either way."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["--progress-spinner", "off", "--format", "json", "-r", lock]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - our own arguments
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(
            f"audit {lock}: NOT DONE, the advisory database cannot be reached ({reason[0][:120]})"
        )
        return True
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        print(f"audit {lock}: NOT DONE, the index has no advisories for these packages")
        return True
    found = [(p["name"], p["version"], v["id"]) for p in asked for v in p["vulns"]]
    for name, version, advisory in found:
        print(f"audit {lock}: {name} {version} has {advisory}")
    print(f"audit {lock}: {len(asked)} of {len(packages)} packages asked, {len(found)} advisories")
    return not found


if __name__ == "__main__":
    sys.exit(0 if min([audit(lock) for lock in sys.argv[1:]], default=True) else 1)

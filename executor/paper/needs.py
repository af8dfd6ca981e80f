"""What the paper exchange needs and the executor's lean environment does not have.

Decides one thing: whoever starts it there is told in one line where it lives, with exit code 2.
Rule: imported before everything that needs it, by ``executor.paper.__main__`` alone.
"""

import importlib.util
import sys

MISSING = [name for name in ("polars", "deltalake") if importlib.util.find_spec(name) is None]

if MISSING:
    sys.stderr.write(
        f"tribar-paper: {' and '.join(MISSING)} not installed in this environment; "
        "start it from the pipeline's: .venv/bin/tribar-paper\n"
    )
    sys.exit(2)

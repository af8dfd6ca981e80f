"""Where the peers live: environments of their own, made from hash-locked files on first use.

They want other versions of numpy and pandas than the project does, so they never share one.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "peers": ROOT / "requirements" / "bench-peers.lock",
    "mlfinpy": ROOT / "requirements" / "bench-mlfinpy.lock",
    "simulators": ROOT / "requirements" / "bench-simulators.lock",
}


class NoPeersError(RuntimeError):
    """The environment of the peers cannot be made here; the message says why."""


def python(name: str) -> Path:
    """Return the interpreter of an environment, ``ours`` or one of :data:`PEERS`."""
    if name == "ours":
        return Path(sys.executable)
    lock = PEERS[name]
    home = ROOT / (".venv-peers" if name == "peers" else f".venv-peers-{name}")
    interpreter, stamp = home / "bin" / "python", home / ".installed"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        return interpreter
    print(f"[setup] environment of the peers ({home.name})", flush=True)
    made = _run([sys.executable, "-m", "venv", str(home)])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    made = made or _run(
        [str(interpreter), *install, "--require-hashes", "--no-deps", "-r", str(lock)]
    )
    if made:
        raise NoPeersError(f"{lock.name} does not install here: {made}")
    stamp.write_text(lock.read_text())
    return interpreter


def _run(command: list[str]) -> str:
    """Run a command; return its last line of complaint, empty if it went well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_200)
    if not done.returncode:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]

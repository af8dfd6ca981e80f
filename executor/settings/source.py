"""Where the executor's settings come from: a TOML file, then `.env`, then the environment.

Decides that the environment beats the file, that a secret may come from a file named by `*_FILE`,
and that a name nobody declared is refused with the nearest valid one. Knows no key itself: the
declared names are an argument. Never shows the value of a secret.
Rule: this is the only module of the executor that reads `os.environ`.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from features.errors import InputError
from features.suggest import unknown_name

PREFIX: Final = "TRIBAR_"
FILE_SUFFIX: Final = "_file"

Place = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """Values by section and key, and for each where it was set."""

    values: Mapping[str, Mapping[str, Any]]
    origin: Mapping[Place, str]


def process_environment(home: Path | None = None) -> dict[str, str]:
    """Return the environment, with `.env` of the project's root beneath it."""
    env = dict(os.environ)  # noqa: TID251 - the one place
    root = home or project_root(env)
    return {**_dot_env(root / ".env"), **env}


def project_root(env: Mapping[str, str]) -> Path:
    """Return the folder that relative paths are taken from: `TRIBAR_HOME` or the working one."""
    root = Path(env.get("TRIBAR_HOME") or Path.cwd()).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"TRIBAR_HOME: {root} is not a folder; create it or unset the variable")
    return root


def read(
    file: Path,
    *,
    known: Mapping[str, frozenset[str]],
    aliases: Mapping[Place, tuple[str, ...]],
    env: Mapping[str, str],
    configs: Path,
) -> Sourced:
    """Return what ``file`` and ``env`` set, the environment winning.

    A variable for a key that only another file of ``configs`` has belongs to another process.

    Raises
    ------
    InputError
        One line that names the unknown section or key, or the file that cannot be read.
    """
    values: dict[str, dict[str, Any]] = {}
    origin: dict[Place, str] = {}
    for section, table in _tables(file).items():
        if not isinstance(table, dict):
            raise InputError(f"{file.name}: key {section!r} stands outside of a [section]; move it")
        _check("section", section, known, file.name)
        for key, value in table.items():
            _check("key", key, known[section], f"{file.name} [{section}]")
            values.setdefault(section, {})[key] = value
            origin[section, key] = f"{file.name} [{section}] {key}"
    foreign = _foreign(file, configs)
    for (section, key), (name, text) in _from_environment(known, aliases, env, foreign).items():
        values.setdefault(section, {})[key] = text
        origin[section, key] = name
    return Sourced(values=values, origin=origin)


def _tables(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no configuration at {file}; name one with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file} cannot be read as TOML: {error}") from None


def _from_environment(
    known: Mapping[str, frozenset[str]],
    aliases: Mapping[Place, tuple[str, ...]],
    env: Mapping[str, str],
    foreign: Mapping[str, frozenset[str]],
) -> dict[Place, tuple[str, str]]:
    """Return, for each key that the environment sets, the variable's name and text."""
    found: dict[Place, tuple[str, str]] = {}
    for place, names in aliases.items():
        for name in reversed(names):
            for given in (name + FILE_SUFFIX.upper(), name):
                if text := env.get(given):
                    found[place] = (given, text if given == name else _secret_file(given, text))
    for name, text in env.items():
        section, mark, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not mark:
            continue
        from_file = key.endswith(FILE_SUFFIX) and key not in known.get(section, frozenset())
        key = key.removesuffix(FILE_SUFFIX) if from_file else key
        if key in foreign.get(section, frozenset()) and key not in known.get(section, frozenset()):
            continue
        if section in foreign and section not in known:
            continue
        _check("section", section, known, name)
        _check("key", key, known[section], name)
        found[section, key] = (name, _secret_file(name, text) if from_file else text)
    return found


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot read {path}: {error}") from None


def _foreign(own: Path, configs: Path) -> dict[str, frozenset[str]]:
    """Return sections and keys of the other processes' files: their variables are not ours."""
    known: dict[str, frozenset[str]] = {}
    for path in sorted({*own.parent.glob("*.toml"), *configs.glob("*.toml")}):
        if path.name == own.name:
            continue
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
            continue  # the process whose file it is reports it
        for section, table in tables.items():
            if isinstance(table, dict):
                known[section] = known.get(section, frozenset()) | table.keys()
    return known


def _dot_env(path: Path) -> dict[str, str]:
    """Return the variables of `.env`; a file that others may read is refused."""
    if not path.is_file():
        return {}
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise InputError(f"{path} can be read by others; run: chmod 600 {path}")
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, mark, value = text.partition("=")
        if not mark:
            raise InputError(f"{path} line {number}: write NAME=value")
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _check(kind: str, name: str, known: Mapping[str, Any] | frozenset[str], where: str) -> None:
    if name not in known:
        raise InputError(f"{where}: {unknown_name(kind, name, known)}")

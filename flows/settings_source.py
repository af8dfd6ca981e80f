"""Where settings come from: a TOML file, then the environment.

Decides that the environment beats the file, and that a name nobody declared is refused with the
nearest valid one. Knows no key itself: the declared model is an argument. Never prints a secret.
Rule: this is the only module of `flows` that reads `os.environ`.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from features.errors import InputError
from features.suggest import unknown_name

PREFIX: Final = "TRIBAR_"
SECRETS: Final = ("key", "secret", "token", "url")  # such keys' values are never shown

Place = tuple[str, str]
Model = TypeVar("Model", bound=BaseModel)


def process_environment() -> dict[str, str]:
    """Return a copy of the process's environment, for programs that are started."""
    return dict(os.environ)  # noqa: TID251 - the one place


def extend_environment(values: Mapping[str, str]) -> None:
    """Set variables of this process, before a library that reads them is imported."""
    os.environ.update(values)  # noqa: TID251 - the one place


def read(
    model: type[Model],
    *,
    file: str,
    aliases: Mapping[Place, tuple[str, ...]],
    home: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Model:
    """Return ``model`` read from ``file`` under the project's root and from the environment.

    Raises
    ------
    InputError
        One line that names the key that is unknown or does not fit, and where it was set.
    """
    env = process_environment() if environ is None else environ
    root = (home or Path(env.get("TRIBAR_HOME") or Path.cwd())).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"TRIBAR_HOME: {root} is not a folder; create it or unset the variable")
    values, origin = _from_file(model, root, file)
    foreign = _foreign_keys(root / file)
    for (section, key), (name, text) in _from_environment(model, aliases, env, foreign).items():
        values.setdefault(section, {})[key] = _parsed(model, section, key, text)
        origin[section, key] = name
    values["paths"] = _rooted(model, root, values.get("paths", {}))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(error, origin)) from None


def _from_file(
    model: type[BaseModel], root: Path, file: str
) -> tuple[dict[str, dict[str, Any]], dict[Place, str]]:
    """Return the file's tables and, for each key, where it was set."""
    origin: dict[Place, str] = {}
    if not (root / file).is_file():
        return {}, origin
    try:
        tables = tomllib.loads((root / file).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file} cannot be read as TOML: {error}") from None
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"{file}: key {section!r} stands outside of a [section]; move it")
        _check_name("section", section, model.model_fields, file)
        for key in table:
            _check_name("key", key, _keys(model, section), f"{file} [{section}]")
            origin[section, key] = f"{file} [{section}] {key}"
    return tables, origin


def _from_environment(
    model: type[BaseModel],
    aliases: Mapping[Place, tuple[str, ...]],
    env: Mapping[str, str],
    foreign: Mapping[str, frozenset[str]],
) -> dict[Place, tuple[str, str]]:
    """Return, for each key that the environment sets, the variable's name and text."""
    found: dict[Place, tuple[str, str]] = {}
    for place, names in aliases.items():
        for name in reversed(names):
            if env.get(name):
                found[place] = (name, env[name])
    for name, text in env.items():
        section, mark, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not mark:
            continue
        ours = section in model.model_fields
        theirs = section in foreign
        if theirs and (not ours or (key in foreign[section] and key not in _keys(model, section))):
            continue
        _check_name("section", section, model.model_fields, name)
        _check_name("key", key, _keys(model, section), name)
        found[section, key] = (name, text)
    return found


def _foreign_keys(own: Path) -> dict[str, frozenset[str]]:
    """Return the sections and keys of the other processes' files: their variables are not ours."""
    known: dict[str, frozenset[str]] = {}
    for path in sorted(own.parent.glob("*.toml")):
        if path == own:
            continue
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
            continue  # the process whose file it is reports it
        for section, table in tables.items():
            if isinstance(table, dict):
                known[section] = known.get(section, frozenset()) | table.keys()
    return known


def _keys(model: type[BaseModel], section: str) -> Iterable[str]:
    """Return the keys that ``section`` declares."""
    annotation = model.model_fields[section].annotation
    assert annotation is not None  # noqa: S101 - every section of a model is annotated
    declared: dict[str, Any] = annotation.model_fields
    return declared


def _parsed(model: type[BaseModel], section: str, key: str, text: str) -> object:
    """Return the environment's text as the field wants it: lists are comma-separated."""
    if isinstance(getattr(model.model_fields[section].default, key), tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _check_name(kind: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in known:
        raise InputError(f"{where}: {unknown_name(kind, name, known)}")


def _rooted(model: type[BaseModel], root: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the paths, relative ones taken from ``root``; URLs stay as they are."""
    rooted: dict[str, Any] = {"home": root}
    defaults = model.model_fields["paths"].default
    for key in _keys(model, "paths"):
        value = str(table.get(key, getattr(defaults, key)))
        if key != "home":
            rooted[key] = value if "://" in value else str(root / Path(value).expanduser())
    return rooted


def _one_line(error: ValidationError, origin: Mapping[Place, str]) -> str:
    """Return the first problem of ``error`` as one line that names where the value was set."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][:2]]
    where = origin.get((place[0], place[-1]), ".".join(place))
    reason = first["msg"].removeprefix("Value error, ")
    shown = "" if place[-1].rpartition("_")[2] in SECRETS else f", got {first['input']!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {reason}{shown}{more}"

"""What a backtest may be asked for by name: a version, a bundle's folder, or a file of changes.

Decides how a name becomes a model with parameters, and which changes a parameter file may make.
Never trades. Rule: a file says only what differs from the model and the conservative profile; an
unknown name in it is refused with the nearest known one.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from executor.core.bundle import MANIFEST, ModelBundle, unpack
from executor.core.manifest import BundleError
from executor.core.model import ModelInfo
from executor.core.params import Params, with_profile
from features.errors import InputError
from features.suggest import unknown_name
from flows.research.backtest import Adjusted, Setup
from flows.versions import read_files

# Sections of a parameter file: those of the model's facts, and those of the executor's parameters.
FACTS: Final = ("signal", "barriers", "exit_plan", "costs")
PARAMETERS: Final = ("limits", "sizing", "selector", "regime", "session", "guard", "tuning")
PLAIN: Final = ("model", "profile", "kappa")

Fetch = Callable[[str], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A subject as it was named: whose bundle, and what to change; nothing is loaded yet."""

    name: str
    bundle: str
    changes: Mapping[str, Any]
    profile: str = "conservative"


def wanted(subject: str, model: str) -> Wanted:
    """Return what ``subject`` means; ``model`` is whose bundle a file changes that names none.

    Raises
    ------
    InputError
        Where the file cannot be read, or holds what no set-up has.
    """
    path = Path(subject)
    if path.suffix != ".toml":
        name = path.name if (path / MANIFEST).is_file() else f"model {subject}"
        return Wanted(name=name, bundle=subject, changes={})
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{subject}: {error.strerror}; name a parameter file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{subject} is not TOML: {error}") from None
    known = (*PLAIN, *FACTS, *PARAMETERS)
    for key in raw:
        if key not in known:
            raise InputError(f"{subject}: " + unknown_name("section or key", key, known))
    changes = {key: value for key, value in raw.items() if key not in {"model", "profile"}}
    return Wanted(
        name=path.stem,
        bundle=str(raw.get("model", model)),
        changes=changes,
        profile=str(raw.get("profile", "conservative")),
    )


def load_bundle(which: str, fetch: Fetch) -> ModelBundle:
    """Return the bundle of a folder, or of a version or alias of the registry.

    Raises
    ------
    InputError
        Where there is none, or it is damaged.
    """
    folder = Path(which)
    files = read_files(folder) if (folder / MANIFEST).is_file() else fetch(which)
    try:
        return unpack(dict(files))
    except BundleError as error:
        raise InputError(f"model {which}: {error}") from None


def make_setup(asked: Wanted, bundle: ModelBundle, plain: Params) -> Setup:
    """Return the set-up: the bundle with the changes asked for, trading with ``plain`` parameters.

    Raises
    ------
    InputError
        Where a change names no parameter, or gives one a value that it cannot have.
    """
    params = with_profile(replace(plain, costs=bundle.info.costs), asked.profile)
    info = bundle.info
    for section, values in asked.changes.items():
        if section == "kappa":
            info = replace(info, kappa=_typed("kappa", values, info.kappa))
        elif section in FACTS:
            info = replace(info, **{section: _changed(section, getattr(info, section), values)})
        else:
            params = replace(
                params, **{section: _changed(section, getattr(params, section), values)}
            )
    params = replace(params, costs=info.costs)
    model = Adjusted(bundle, info) if asked.changes else bundle
    return Setup(name=asked.name, model=model, params=params)


def fact_changes(one: ModelInfo, other: ModelInfo) -> dict[str, tuple[Any, Any]]:
    """Return the facts in which two models differ, by ``section.name``."""
    found: dict[str, tuple[Any, Any]] = {}
    for section in FACTS:
        left, right = getattr(one, section), getattr(other, section)
        for field in fields(left):
            values = getattr(left, field.name), getattr(right, field.name)
            if values[0] != values[1]:
                found[f"{section}.{field.name}"] = values
    if one.kappa != other.kappa:
        found["kappa"] = (one.kappa, other.kappa)
    return found


def _changed(section: str, part: Any, values: Any) -> Any:
    """Return a section with the values of a file in place."""
    if not isinstance(values, Mapping):
        raise InputError(f"{section}: give a table, [{section}] with its values below")
    known = {field.name: getattr(part, field.name) for field in fields(part)}
    typed = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(unknown_name(f"{section} parameter", name, known))
        typed[name] = _typed(f"{section}.{name}", value, known[name])
    return replace(part, **typed)


def _typed(name: str, value: Any, before: Any) -> Any:
    """Return ``value`` as the type of what it replaces."""
    if isinstance(before, bool) or isinstance(value, bool):
        fits = isinstance(before, bool) and isinstance(value, bool)
    elif isinstance(before, float):
        fits = isinstance(value, int | float)
        value = float(value) if fits else value
    elif isinstance(before, tuple):
        fits = isinstance(value, list) and all(isinstance(v, list) for v in value)
        value = tuple(tuple(pair) for pair in value) if fits else value
    else:
        fits = isinstance(value, type(before))
    if not fits:
        raise InputError(f"{name} is {value!r}; give a value such as {before!r}")
    return value

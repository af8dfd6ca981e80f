"""The one door to numba: plain functions in, machine code out.

Decides how plain functions are compiled (no fastmath, division as IEEE says) and where the result
is cached. Never changes a function: a plain function stays callable and is interpreted elsewhere.
Rule: nothing else imports numba, and only the pipeline's modules (``batch``, the label modules)
import this one. Every plain function of ``features`` that a compiled one reaches is found and
registered here, and the text of all of them names the cache, so an edit is never served stale.
"""

import hashlib
import inspect
import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

# Intel's SVML rounds log and exp differently from libm, which the interpreter uses.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")  # noqa: TID251 - numba reads it on import

import numba
from numba.extending import register_jitable

_settings: Any = numba.config

if _settings.USING_SVML:
    raise ImportError(
        "numba was imported before features.compiled and uses SVML, so compiled and interpreted "
        "values would differ; import features.compiled first or set NUMBA_DISABLE_INTEL_SVML=1"
    )

F = TypeVar("F", bound=Callable[..., Any])

# Windows become part of the loop that runs them: handing their rings to a call costs more than
# the kernel itself. Others gain nothing by it and would take long to compile.
INLINED = ("features.kernels.windows", "features.kernels.volatility")
# Where the plain functions live that may be compiled: maths, decisions, and loops over them.
OURS = ("features.", "executor.core.", "flows.research.")
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}

_registered: set[Callable[..., Any]] = set()


def compile_plain(*functions: Callable[..., Any]) -> None:
    """Make plain functions callable from compiled ones; they themselves stay as they are."""
    for function in functions:
        if function not in _registered:
            _registered.add(function)
            inline = "always" if function.__module__ in INLINED else "never"
            register_jitable(inline=inline)(function)


def compiled(function: F, *, allocates: bool = True) -> F:
    """Return ``function`` compiled on first call, cached on disk where a folder can be written.

    Plain functions of this package that it reaches, through globals or closure, are registered.
    The machine code equals the interpreted source bit for bit as long as the kernel rules hold.
    One that says ``allocates=False`` makes no array: its arrays' references are not counted, which
    would keep their numbers out of registers.
    """
    reached = _reachable(function)
    compile_plain(*(plain for plain in reached if plain is not function))
    options = {**OPTIONS, "_nrt": allocates}
    folder = _cache_folder(f"{function.__name__}-{_fingerprint(reached, options)}")
    before = _settings.CACHE_DIR
    try:
        if folder is not None:
            _settings.CACHE_DIR = str(folder)
        make = numba.njit(cache=folder is not None, **options)
        return cast("F", make(function))
    finally:
        _settings.CACHE_DIR = before


def _reachable(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return ``function`` and every plain function of ours that it can call."""
    found: dict[Callable[..., Any], None] = {}
    waiting = [function]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found[current] = None
        for value in _named_values(current).values():
            ours = isinstance(value, types.FunctionType) and value.__module__.startswith(OURS)
            if ours:
                waiting.append(value)
    return list(found)


def _named_values(function: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function's global and closure names stand for."""
    names = inspect.getclosurevars(function)
    return {**names.globals, **names.nonlocals}


def _fingerprint(functions: list[Callable[..., Any]], options: dict[str, Any]) -> str:
    """Return a digest of the functions' text, the constants they read and how they are compiled."""
    digest = hashlib.sha256(f"{numba.__version__} {INLINED} {sorted(options.items())}".encode())
    for function in functions:
        digest.update(f"{function.__module__}.{function.__qualname__}\n".encode())
        digest.update(inspect.getsource(function).encode())
        for name, value in sorted(_named_values(function).items()):
            if isinstance(value, (int, float, str, tuple)):
                digest.update(f"{name}={value!r}\n".encode())
    return digest.hexdigest()[:16]


def _cache_folder(name: str) -> Path | None:
    """Return the first folder for compiled code that can be written, None where there is none.

    ``NUMBA_CACHE_DIR``, then beside the source, then the person's cache (read-only installs).
    """
    places = [
        Path(__file__).parent / "__pycache__" / "compiled",
        Path("~/.cache/tribar/compiled").expanduser(),
    ]
    if _settings.CACHE_DIR:
        places.insert(0, Path(_settings.CACHE_DIR))
    for place in places:
        try:
            (place / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place / name, os.W_OK):
            return place / name
    return None

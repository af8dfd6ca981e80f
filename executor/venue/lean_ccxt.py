"""Import one ccxt.pro exchange without the other hundred.

Decides how ccxt is loaded: ``ccxt/__init__`` imports every exchange (about 100 MB and 2 s), so
stub packages with the real search paths stand in for it and resolve names on demand.
Never changes ccxt's code. Rule: nothing else in the executor imports ccxt; whoever needs an
exchange class or an error class asks here.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.suggest import unknown_name


class _Package(types.ModuleType):
    """A package whose submodule of a class's name does not hide the class."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            bound = self.__dict__.get(name)
            value = bound if isinstance(bound, type) else value
        super().__setattr__(name, value)


def _resolve(package: str, name: str) -> Any:
    """Return ``name`` of ``package``: the base class, an exchange's class, or an error class."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "Exchange":
        base = "ccxt.base" if package == "ccxt" else "ccxt.async_support.base"
        return importlib.import_module(base + ".exchange").Exchange
    try:
        module = importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError:
        errors = importlib.import_module("ccxt.base.errors")
        if not hasattr(errors, name):
            raise AttributeError(name) from None
        return getattr(errors, name)
    value = getattr(module, name, module)
    setattr(sys.modules[package], name, value)
    return value


def _stub(name: str, path: Path) -> _Package:
    package = _Package(name)
    package.__path__ = [str(path)]
    package.__package__ = name
    package.__spec__ = importlib.util.spec_from_loader(name, loader=None, is_package=True)
    package.__dict__["__getattr__"] = lambda attribute: _resolve(name, attribute)
    sys.modules[name] = package
    return package


def _prepare() -> Path:
    """Put the stubs in place, unless ccxt is already there; return the folder of ccxt."""
    if "ccxt" in sys.modules:
        return Path(next(iter(sys.modules["ccxt"].__path__)))
    spec = importlib.util.find_spec("ccxt")
    if spec is None or spec.origin is None:
        raise InputError("ccxt is not installed; install requirements/executor.lock")
    root = Path(spec.origin).parent
    top = _stub("ccxt", root)
    top.__dict__["async_support"] = _stub("ccxt.async_support", root / "async_support")
    top.__dict__["pro"] = _stub("ccxt.pro", root / "pro")
    return root


def exchange_class(venue: str) -> type[Any]:
    """Return the ccxt.pro class of ``venue``, importing only what it needs.

    Raises
    ------
    InputError
        Where ccxt.pro has no such venue; the message offers the nearest.
    """
    root = _prepare()
    known = {path.stem for path in (root / "pro").glob("[a-z]*.py")}
    if venue not in known:
        raise InputError(unknown_name("venue", venue, known))
    module = importlib.import_module(f"ccxt.pro.{venue}")
    found: type[Any] = module.__dict__[venue]
    return found


def errors() -> types.ModuleType:
    """Return the module of ccxt's exception classes."""
    _prepare()
    return importlib.import_module("ccxt.base.errors")

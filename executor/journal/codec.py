"""Events and outcomes as JSON text, and back.

Decides the form in which the journal keeps the core's dataclasses: fields by name, enums by value,
arrays of floats as base64 of little-endian float64 (so that a replay sees the very same bits).
Never holds a schema of its own: the annotations of the dataclasses are the schema.
Rule: what is decoded equals what was encoded, bit for bit, or :class:`CodecError` is raised.
"""

import base64
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import numpy as np
import orjson
from numpy.typing import NDArray

Decoder = Callable[[Any], Any]


class CodecError(ValueError):
    """Text that is not what this version of the program wrote."""


def encode(value: object) -> str:
    """Return a dataclass (or a mapping or tuple of such) as one line of JSON."""
    return orjson.dumps(plain(value)).decode()


def plain(value: object) -> Any:
    """Return ``value`` as what JSON knows; NaN and infinities become text."""
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is float:  # most fields are: a plain comparison is 20 times numpy's `isfinite`
        return value if -math.inf < value < math.inf else repr(value)  # type: ignore[operator]  # a float
    return _writer(kind)(value)  # type: ignore[arg-type]  # types hash


_AS_IS: Final = frozenset({type(None), bool, int, str})


@cache
def _writer(kind: type[Any]) -> Callable[[Any], Any]:
    """Return the function that turns a ``kind`` into what JSON knows."""
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, int | str):
        return lambda value: value
    if issubclass(kind, np.ndarray):
        return _packed
    if issubclass(kind, np.generic):
        return lambda value: plain(value.item())
    if issubclass(kind, float):
        return lambda value: plain(float(value))
    if is_dataclass(kind):
        names = tuple(f.name for f in fields(kind))
        return lambda value: {name: plain(getattr(value, name)) for name in names}
    if issubclass(kind, Mapping):
        return lambda value: {str(key): plain(item) for key, item in value.items()}
    if issubclass(kind, tuple | list | frozenset):
        return lambda value: [plain(item) for item in value]
    raise CodecError(f"cannot write a {kind.__name__} to the journal")


def _packed(value: NDArray[Any]) -> dict[str, str]:
    packed = np.ascontiguousarray(value, dtype="<f8").tobytes()
    return {"f8": base64.b64encode(packed).decode()}


def decode(kind: type[Any], text: str | bytes) -> Any:
    """Return the ``kind`` that :func:`encode` wrote.

    Raises
    ------
    CodecError
        Where the text is not JSON or does not fit the dataclass.
    """
    try:
        return _decoder(kind)(orjson.loads(text))  # type: ignore[arg-type]  # types hash
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise CodecError(f"journal row is not a {kind.__name__}: {error}") from error


@cache
def _decoder(kind: Any) -> Decoder:
    """Return the function that turns JSON into ``kind``."""
    origin = get_origin(kind)
    if kind is float:
        return float
    if kind in (int, bool, str, Any, type(None)):
        return lambda value: value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if kind is np.ndarray or origin is np.ndarray:
        return _array
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind))
    if origin is tuple:
        return _tuple(get_args(kind))
    if origin in (frozenset, list):
        item = _decoder(get_args(kind)[0])
        make: Callable[[Any], Any] = frozenset if origin is frozenset else list
        return lambda value: make(item(part) for part in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, inner = get_args(kind)
        decode_key, decode_value = _decoder(key), _decoder(inner)
        return lambda value: {_key(decode_key, k): decode_value(v) for k, v in value.items()}
    raise CodecError(f"no way to read {kind!r} from the journal")


def _key(decode_key: Decoder, text: str) -> Any:
    return int(text) if decode_key is _decoder(int) and text.lstrip("-").isdigit() else text


def _array(value: Mapping[str, str]) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(value["f8"]), dtype="<f8").copy()


def _tuple(kinds: tuple[Any, ...]) -> Decoder:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        item = _decoder(kinds[0])
        return lambda value: tuple(item(part) for part in value)
    items = [_decoder(kind) for kind in kinds]
    return lambda value: tuple(f(part) for f, part in zip(items, value, strict=True))


def _union(kinds: tuple[Any, ...]) -> Decoder:
    """Return the decoder of ``X | None``, or of a union of plain values."""
    some = [kind for kind in kinds if kind is not type(None)]
    if len(some) == 1:
        inner = _decoder(some[0])
        return lambda value: None if value is None else inner(value)
    if all(kind in (int, float, str, bool) for kind in some):
        return lambda value: value
    raise CodecError(f"a union of {some} cannot be told apart in the journal")


def _dataclass(kind: type[Any]) -> Decoder:
    hints = get_type_hints(kind)
    readers = {f.name: _decoder(hints[f.name]) for f in fields(kind) if f.init}

    def build(value: Mapping[str, Any]) -> Any:
        return kind(**{name: read(value[name]) for name, read in readers.items() if name in value})

    return build

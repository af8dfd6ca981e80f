"""Gradient-boosted trees that answer, by XGBoost's C library without its Python package.

Decides how a booster is loaded and asked. Never trains, never checks a hash (`bundle` did), never
uses more than the calling thread. Rule: it asks with the very call that `Booster.inplace_predict`
ends in, so an answer is the Python package's to the last bit; what is left out is the way there:
scipy and the plotting and training code at the import, and a class made anew at every call
(decision 12 has the figures).

Source: https://xgboost.readthedocs.io/en/stable/dev/group__c__api.html
"""

import ctypes
import importlib.util
import sys
from typing import Final

from features.types import FloatArray

SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"
# type 0: probabilities; iterations 0 to 0: all trees; NaN stands for a missing value.
ASKED: Final = (
    b'{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, '
    b'"missing": NaN, "strict_shape": false, "cache_id": 0}'
)
U64_POINTER: Final = ctypes.POINTER(ctypes.c_uint64)
FLOAT_POINTER: Final = ctypes.POINTER(ctypes.c_float)
ROWS: Final = b'{"data": [%d, true], "shape": [%d, %d], "typestr": "<f8", "version": 3}'


class TreesError(ValueError):
    """Bytes are no booster, or the library refused what was asked; carries its own line."""


def _library() -> ctypes.CDLL:
    """Return XGBoost's library out of the installed package, which is not imported."""
    found = importlib.util.find_spec("xgboost")
    folders = found.submodule_search_locations if found is not None else None
    if not folders:
        raise ImportError("xgboost is not installed: install requirements/executor.lock")
    opened = ctypes.CDLL(f"{folders[0]}/lib/libxgboost{SUFFIX}")
    opened.XGBGetLastError.restype = ctypes.c_char_p
    return opened


def _version() -> str:
    parts = [ctypes.c_int() for _ in range(3)]
    LIB.XGBoostVersion(*(ctypes.byref(part) for part in parts))
    return ".".join(str(part.value) for part in parts)


LIB: Final = _library()
VERSION: Final = _version()


def _must(status: int) -> None:
    if status != 0:
        said = (LIB.XGBGetLastError() or b"").decode(errors="replace").strip()
        raise TreesError(said.splitlines()[0] if said else "XGBoost gives no reason")


class Trees:
    """A loaded booster.

    Raises
    ------
    TreesError
        Where ``data`` is not a model in UBJSON as `Booster.save_raw` writes it.
    """

    def __init__(self, data: bytes) -> None:
        self._handle, self._asked = ctypes.c_void_p(), ctypes.c_void_p()
        if not data:  # the library aborts the process
            raise TreesError("it is empty")
        self._free, self._free_asked = LIB.XGBoosterFree, LIB.XGDMatrixFree
        _must(LIB.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(self._handle)))
        size = ctypes.c_uint64(len(data))
        _must(LIB.XGBoosterLoadModelFromBuffer(self._handle, data, size))
        _must(LIB.XGBoosterSetParam(self._handle, b"nthread", b"1"))
        width = ctypes.c_uint64()
        _must(LIB.XGBoosterGetNumFeature(self._handle, ctypes.byref(width)))
        self.width = int(width.value)
        # Without one, the library makes one at each call: more than half of what an answer costs.
        _must(LIB.XGProxyDMatrixCreate(ctypes.byref(self._asked)))

    def __del__(self) -> None:
        """Give the booster's memory back."""
        if self._asked:
            self._free_asked(self._asked)
        if self._handle:
            self._free(self._handle)

    def predict(self, rows: FloatArray) -> list[float]:
        """Return the probability of each row of float64 ``rows`` (n, width); NaN is missing.

        Raises
        ------
        TreesError
            Where the rows have another width, do not lie together as float64 (the library would
            read other memory), or a booster answers with several numbers a row.
        """
        n, width = rows.shape
        if width != self.width:
            raise TreesError(f"rows have {width} columns, the booster takes {self.width}")
        if rows.dtype.char != "d" or not rows.flags.c_contiguous:
            raise TreesError(f"rows must lie together as float64, and are {rows.dtype}")
        described = ROWS % (rows.__array_interface__["data"][0], n, width)
        shape, dimensions, answers = U64_POINTER(), ctypes.c_uint64(), FLOAT_POINTER()
        into = (ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(answers))
        _must(LIB.XGBoosterPredictFromDense(self._handle, described, ASKED, self._asked, *into))
        if dimensions.value != 1 or shape[0] != n:
            raise TreesError("the booster does not answer with one number a row")
        return answers[:n]

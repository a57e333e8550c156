# SPDX-License-Identifier: BSD-2-Clause
"""Results of the library as exceptions."""

from __future__ import annotations

import errno
from typing import Any

from ._lib import ffi, lib


class Error(OSError):
    """What a call of the library returned.

    errno is a positive number, of errno(3) or of the library (EDIRTY below and its
    like); name is its name, such as "VDO_EDIRTY"; strerror says what to do next where
    the library does.
    """

    name: str


def text(p: Any) -> str:
    """A C string."""
    return ffi.string(p).decode(errors="replace")


def error_of(result: int, error: Any = None) -> Error:
    """The exception for a negative result, with the text of a struct vdo_error."""
    message = text(error.message) if error is not None else ""
    # OSError makes FileNotFoundError and the like of numbers that it knows.
    kind = type(OSError(-result, ""))
    cls = Error if kind is OSError else _kinds.setdefault(
        kind, type(kind.__name__, (Error, kind), {"__module__": "vdo"})
    )
    e = cls(-result, message or text(lib.vdo_strerror(result)))
    e.name = text(lib.vdo_error_name(result))
    return e


_kinds: dict[type, type] = {}


def check(result: int, error: Any = None) -> int:
    """Raise what a negative result stands for; else return it."""
    if result < 0:
        raise error_of(result, error)
    return result


def codes() -> dict[str, int]:
    """The library's own numbers, by name without VDO_."""
    names = ffi.typeof("enum vdo_error_code").relements
    return {n[4:]: v for n, v in names.items() if n != "VDO_OK"}


def errno_of(e: BaseException) -> int:
    """The number that a callback in Python reports for an exception."""
    if isinstance(e, OSError) and e.errno:
        return -e.errno
    return -errno.EIO

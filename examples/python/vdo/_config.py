# SPDX-License-Identifier: BSD-2-Clause
"""Options: keyword arguments as the library's named strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ._errors import check, text
from ._lib import ffi, lib

#: What a log function gets: a level ("error", "warning", "info", "debug"), a line.
LogFunction = Callable[[str, str], None]

_LEVELS = {
    lib.VDO_LOG_ERROR: "error",
    lib.VDO_LOG_WARNING: "warning",
    lib.VDO_LOG_INFO: "info",
    lib.VDO_LOG_DEBUG: "debug",
}


class Option(NamedTuple):
    """An option of the library, see vdo-options(7)."""

    name: str
    type: str
    when: str
    default: str
    range: str
    help: str


def value_text(value: Any) -> str:
    """True and False are on and off; numbers and text are themselves."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def name_text(name: str) -> str:
    """Keywords have _ where options have -."""
    return name.replace("_", "-")


class Config:
    """A struct vdo_config for the time of a call; keeps what must stay longer."""

    def __init__(self, options: dict[str, Any], log: LogFunction | None = None):
        out = ffi.new("struct vdo_config **")
        check(lib.vdo_config_new(out))
        self.pointer = ffi.gc(out[0], lib.vdo_config_free)
        self.log: Any = None
        for name, value in options.items():
            self.set(name, value)
        if log is not None:
            self.log = _log_callback(log)
            lib.vdo_config_set_log(self.pointer, self.log, ffi.NULL)

    def set(self, name: str, value: Any) -> None:
        """Set one option."""
        error = ffi.new("struct vdo_error *")
        check(
            lib.vdo_config_set(
                self.pointer,
                name_text(name).encode(),
                value_text(value).encode(),
                error,
            ),
            error,
        )


def _log_callback(log: LogFunction) -> Any:
    @ffi.callback("void(void *, enum vdo_log_level, const char *)")
    def tell(_arg: Any, level: int, message: Any) -> None:
        log(_LEVELS.get(level, "info"), text(message))

    return tell


def options() -> list[Option]:
    """All options that there are, for format() and open()."""
    found = []
    while (o := lib.vdo_config_describe(len(found))) != ffi.NULL:
        found.append(
            Option(
                text(o.name),
                ffi.string(ffi.cast("enum vdo_option_type", o.type))[11:].lower(),
                ffi.string(ffi.cast("enum vdo_option_when", o.when))[11:].lower(),
                text(o.default_value),
                text(o.range),
                text(o.help),
            )
        )
    return found


def size(text_of_size: str) -> int:
    """The bytes that "64M" or "1.5GiB" stands for."""
    out = ffi.new("uint64_t *")
    check(lib.vdo_size_parse(text_of_size.encode(), out))
    return int(out[0])

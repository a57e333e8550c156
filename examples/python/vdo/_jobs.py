# SPDX-License-Identifier: BSD-2-Clause
"""Jobs for volumes that are not open: check, trim, rebuild."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NamedTuple

from ._config import Config, LogFunction
from ._device import Device
from ._errors import check as check_result
from ._errors import text
from ._lib import ffi, lib
from ._volume import Place, _path, _struct_dict

#: What a progress function gets: a phase, bytes done, bytes in all (0: not known). A
#: true result ends the job.
Progress = Callable[[str, int, int], Any]


def _run(
    name: str,
    place: Place,
    options: dict[str, Any],
    log: LogFunction | None,
    progress: Progress | None,
    arguments: tuple[Any, ...],
    get: Callable[[Any], Any],
) -> Any:
    c, error = Config(options, log), ffi.new("struct vdo_error *")
    out = ffi.new("struct vdo_job **")
    on_device = isinstance(place, Device)
    call = getattr(lib, f"vdo_{name}_device" if on_device else f"vdo_{name}")
    where = place.pointer if isinstance(place, Device) else _path(place)
    check_result(call(where, c.pointer, *arguments, out, error), error)
    try:
        _wait(out[0], progress, error)
        return get(out[0])
    finally:
        lib.vdo_job_free(out[0])


def _wait(job: Any, progress: Progress | None, error: Any) -> None:
    p = ffi.new("struct vdo_job_progress *")
    while True:
        result = lib.vdo_job_wait(job, -1 if progress is None else 100, error)
        if result != -errno.ETIMEDOUT:
            check_result(result, error)
            return
        lib.vdo_job_progress(job, p, ffi.sizeof(p[0]))
        assert progress is not None
        if progress(text(p.phase), int(p.done), int(p.total)):
            lib.vdo_job_cancel(job)


def trim(
    place: Place,
    *,
    progress: Progress | None = None,
    log: LogFunction | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Give free blocks back to the file or device below."""

    def get(job: Any) -> dict[str, Any]:
        out = ffi.new("struct vdo_trimmed *")
        check_result(lib.vdo_trimmed_get(job, out, ffi.sizeof(out[0])))
        return _struct_dict(out)

    return _run("trim", place, options, log, progress, (), get)


def rebuild(
    place: Place,
    *,
    force: bool = False,
    progress: Progress | None = None,
    log: LogFunction | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Rebuild a volume that is read-only; see vdo_rebuild(3)."""

    def get(job: Any) -> dict[str, Any]:
        out = ffi.new("struct vdo_rebuilt *")
        check_result(lib.vdo_rebuilt_get(job, out, ffi.sizeof(out[0])))
        found = _struct_dict(out)
        del found["lost"]
        return found

    flags = lib.VDO_REBUILD_FORCE if force else 0
    return _run("rebuild", place, options, log, progress, (flags,), get)


class Finding(NamedTuple):
    """Something that check() has found."""

    name: str  # "count-low" and the like
    text: str
    severity: str
    found: str
    expected: str
    mendable: bool
    mended: bool
    logical_blocks: int


def _finding(f: Any) -> Finding:
    return Finding(
        text(lib.vdo_check_name(f.code)),
        text(lib.vdo_check_text(f.code)),
        text(lib.vdo_check_severity_name(f.severity)),
        text(f.found),
        text(f.expected),
        bool(f.mendable),
        bool(f.mended),
        int(f.logical_blocks),
    )


def check(
    place: Place,
    *,
    data: bool = False,
    index: bool = True,
    progress: Progress | None = None,
    log: LogFunction | None = None,
    **options: Any,
) -> tuple[dict[str, Any], list[Finding]]:
    """Look over all metadata of a volume that is not open, and with data over all
    data; changes nothing. The report, and the findings (the first ones of a kind)."""
    findings: list[Finding] = []

    @ffi.callback("void(void *, const struct vdo_check_finding *)")
    def tell(_arg: Any, f: Any) -> None:
        findings.append(_finding(f))

    def get(job: Any) -> dict[str, Any]:
        out = ffi.new("struct vdo_check_report *")
        check_result(lib.vdo_check_report_get(job, out, ffi.sizeof(out[0])))
        found = _struct_dict(out)
        del found["by_severity"], found["by_code"]
        return found

    flags = (lib.VDO_CHECK_DATA if data else 0) | (
        0 if index else lib.VDO_CHECK_NO_INDEX
    )
    arguments = (flags, ffi.NULL, tell, ffi.NULL)
    report = _run("check", place, options, log, progress, arguments, get)
    return report, findings

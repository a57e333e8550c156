# SPDX-License-Identifier: BSD-2-Clause
"""The shared library, as cffi sees it: ffi and lib."""

import os
import pathlib

import cffi

ffi = cffi.FFI()
ffi.cdef(pathlib.Path(__file__).with_name("_cdef.h").read_text())

#: LIBVDO names another file than the one that the linker finds.
lib = ffi.dlopen(os.environ.get("LIBVDO", "libvdo.so.0"))

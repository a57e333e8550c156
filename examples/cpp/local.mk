# SPDX-License-Identifier: BSD-2-Clause
# The C++ header, which is installed beside those of C.
vdoinclude_HEADERS += %D%/vdo.hpp
EXTRA_DIST += %D%/coroutine.cc %D%/hello.cc

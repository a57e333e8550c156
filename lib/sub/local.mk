# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/directory.c %D%/directory.h

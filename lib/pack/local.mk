# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/compress.c \
	%D%/op.c \
	%D%/pack.h %D%/pack_priv.h \
	%D%/packer.c

lib_libcore_la_SOURCES += \
	%D%/device.c %D%/device.h \
	%D%/mem.c \
	%D%/mio.c %D%/mio.h \
	%D%/sync.c %D%/sync.h

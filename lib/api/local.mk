lib_libcore_la_SOURCES += \
	%D%/config.c \
	%D%/cq.c \
	%D%/errors.c %D%/errors.h \
	%D%/options.c %D%/options.h \
	%D%/version.c

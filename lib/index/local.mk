lib_libcore_la_SOURCES += \
	%D%/advice.c %D%/advice.h

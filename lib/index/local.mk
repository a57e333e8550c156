lib_libcore_la_SOURCES += \
	%D%/advice.c %D%/advice.h \
	%D%/bits.c %D%/bits.h \
	%D%/delta_code.c %D%/delta_code.h \
	%D%/delta_list.c %D%/delta_list.h \
	%D%/geometry.c %D%/geometry.h

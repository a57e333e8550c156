# SPDX-License-Identifier: BSD-2-Clause
# The Python module: text, and the public headers as cffi reads them. It is used from
# the build folder, or as a wheel (make wheel).
PYTHON_MODULE = __init__.py _config.py _device.py _errors.py _jobs.py _lib.py \
	_volume.py aio.py py.typed
PYTHON_MODULE_FILES = $(PYTHON_MODULE:%=$(top_srcdir)/examples/python/vdo/%)
EXTRA_DIST += examples/python/cdef.sh examples/python/pyproject.toml.in \
	examples/python/README.md \
	examples/python/demo/chunks.py examples/python/demo/gather.py \
	examples/python/demo/hello.py $(PYTHON_MODULE_FILES)
noinst_DATA = examples/python/vdo/_cdef.h
CLEANFILES += examples/python/vdo/_cdef.h
examples/python/vdo/_cdef.h: $(vdoinclude_HEADERS) examples/python/cdef.sh \
		$(PYTHON_MODULE_FILES)
	$(AM_V_GEN)$(MKDIR_P) examples/python/vdo && \
	if test ! -e examples/python/vdo/aio.py; then \
		for f in $(PYTHON_MODULE); do \
			ln -sf '$(abs_top_srcdir)/examples/python/vdo/'$$f \
				examples/python/vdo/$$f; \
		done; \
	fi && \
	CC='$(CC)' sh $(srcdir)/examples/python/cdef.sh \
		'$(abs_top_srcdir)/include' >$@.new && mv $@.new $@

# A wheel of pure Python, for any libvdo.so.0, in examples/python/dist.
PYTHON = python3
.PHONY: wheel
wheel: examples/python/vdo/_cdef.h
	rm -rf examples/python/wheel
	$(MKDIR_P) examples/python/wheel
	cp -RL examples/python/vdo examples/python/pyproject.toml \
		$(srcdir)/examples/python/README.md examples/python/wheel
	cd examples/python/wheel && $(PYTHON) -m pip wheel -q --no-deps \
		--no-build-isolation --no-index -w ../dist .
	rm -rf examples/python/wheel
python-clean:
	rm -rf examples/python/dist examples/python/wheel
	test '$(srcdir)' = . || rm -rf examples/python/vdo
mostlyclean-local: python-clean
.PHONY: python-clean

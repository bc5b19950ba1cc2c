# The README's two commands, `make demo` and `make test`, and the rest. A target installs what Debian lacks, then drives CMake.
.POSIX:
.PHONY: help build demo test bench fuzz install format clean

PREFIX = /usr/local
DESTDIR =
PRESET = release
SECONDS = 30

help:
	@echo 'make demo      build, then classify, explain and measure a few sentences with the embedded model'
	@echo 'make test      build, then run all tests'
	@echo 'make build     build/release/foveate, the libraries and the tests'
	@echo 'make install   program, libraries, headers, pkg-config and CMake files to DESTDIR/PREFIX ($(PREFIX))'
	@echo 'make bench     the benchmarks (adds libdnnl-dev, their yardstick)'
	@echo 'make fuzz      each fuzz target for SECONDS ($(SECONDS)) seconds (adds clang)'
	@echo 'make format    clang-format on all C files (adds clang-format)'
	@echo 'make clean     remove build/'

build:
	@tools/install-deps.sh
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

demo:
	@tools/install-deps.sh
	cmake --preset release
	cmake --build --preset release --target foveate_cli
	@tools/demo.sh build/release/foveate

test: build
	ctest --preset $(PRESET)

bench:
	@tools/install-deps.sh bench
	cmake --preset bench
	cmake --build --preset bench
	@for program in build/bench/bench/bench_*; do if [ -f $$program ]; then $$program || exit 1; fi; done

fuzz:
	@tools/install-deps.sh fuzz
	cmake --preset fuzz
	cmake --build --preset fuzz
	@tests/fuzz/run.sh build/fuzz $(SECONDS)

install: build
	DESTDIR='$(DESTDIR)' cmake --install build/$(PRESET) --prefix '$(PREFIX)'

format:
	@tools/install-deps.sh format
	git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

clean:
	rm -rf build

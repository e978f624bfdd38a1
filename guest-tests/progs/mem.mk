# SPDX-License-Identifier: GPL-2.0-only
# mem-cases: memory events step by step. Included by Makefile; `make -f mem.mk` works too.

O	?= ../../build/guest-tests
CC	?= gcc
CFLAGS	?= -O2 -g

MEM_SRC	:= mem-cases.c mem-dev.c mem-traffic.c mem-fault.c mem-move.c mem-track.c mem-life.c \
	   mem-probe.c mem-young.c mem-kind.c mem-busy.c mem-part.c mem-dax.c mem-dirty.c \
	   mem-many.c mem-read.c mem-poison.c inject.c proc.c test.c

all: $(O)/mem-cases

$(O)/mem-cases: $(MEM_SRC) mem-dev.h mem-frame.h inject.h movable.h proc.h test.h ../../vhost/uapi/vhost_direct.h mem.mk
	mkdir -p $(O)
	$(CC) -std=gnu11 -Wall -Wextra -Wno-missing-field-initializers -Wmissing-prototypes \
		-Wstrict-prototypes $(CFLAGS) -fno-strict-aliasing -static -pthread -o $@ $(MEM_SRC)

all: $(O)/mem-hog

$(O)/mem-hog: mem-hog.c mem.mk
	mkdir -p $(O)
	$(CC) -std=gnu11 -Wall -Wextra -Wmissing-prototypes $(CFLAGS) -static -o $@ mem-hog.c

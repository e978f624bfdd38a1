// SPDX-License-Identifier: GPL-2.0-only
/* A split ring of any contents: see fuzz.h. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct fuzz f;

	fuzz_run(&f, false, data, size);
	return 0;
}

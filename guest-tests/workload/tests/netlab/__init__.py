# SPDX-License-Identifier: GPL-2.0-only
"""Networks to test vdload in: namespaces, a network that damages what it carries, system calls that fail."""

# SPDX-License-Identifier: GPL-2.0-only
"""The lab: boots real Debian kernels in virtual machines and runs commands in them."""

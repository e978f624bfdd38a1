# SPDX-License-Identifier: GPL-2.0-only
"""The guest VM inside the host VM. Runs there, not on the machine outside."""

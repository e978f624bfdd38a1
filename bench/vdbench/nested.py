# SPDX-License-Identifier: GPL-2.0-only
"""The real guest: an unmodified QEMU inside the host VM, on each back end in turn."""

from . import boots, lab, plan

_GUEST = "/vd/guest-tests/lab/nested-guest"


def _lost(name, test, fields):
    """What TEST sent and wasn't there, or nothing. Stock may lose frames, not pings, as in the suite nested-guest."""
    if fields.get("received", 0) < fields.get("sent", 0):
        return f"{test}: {fields['received']} of {fields['sent']} answered"
    if fields.get("lost") and name != "stock":
        return f"{test}: {fields['lost']} lost"
    return ""


def _take(fields, found):
    name, test = fields.pop("backend"), fields.pop("test")
    found[name][test] = fields
    if error := fields.get("error") or _lost(name, test, fields):
        found[name]["error"] = error
    lab.say(f"nested {name} {test}: " + " ".join(f"{key}={value}" for key, value in fields.items()))


def run(backends, folder, seconds, options=()):
    """Returns ({backend: {test: fields}}, boot, failure); a back end whose guest failed, or lost something, has an
    "error" in it. FAILURE is why the boot failed after it had said what it is, or None."""
    # One boot for all; a back end that fails must not keep the others from their turn. A plan of
    # no runs has the machine say what it is.
    script = "; ".join([f"{plan.INSIDE} {plan.write(plan.make([]), folder)}", *(
        f"{_GUEST} --backend {name} --json --seconds {seconds:g} ping tx rx || failed=1"
        for name in backends)])
    found, boot, failure = {name: {} for name in backends}, None, None
    try:
        for line in lab.run(["sh", "-c", f"{script}; true"], folder, options, timeout=120 * len(backends)):
            if "facts" in line:
                boot = boots.describe(line["facts"], folder)
            if "nested" in line:
                _take(line["nested"], found)
    except lab.BenchError as error:
        # What was measured before is none the worse for it.
        if not boot:
            raise
        failure = error
    for name, tests in found.items():
        for test in ("ping", "tx", "rx"):
            if test not in tests:
                tests.setdefault("error", f"no result of {test}")
    return found, boot, failure

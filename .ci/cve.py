# SPDX-License-Identifier: GPL-2.0-only
"""docs/cve.md against the tests: neither may name what the other hasn't got."""

import os
import re

_NUMBER = re.compile(r"CVE-\d{4}-\d{4,7}")
_RANGE = re.compile(r"(CVE-\d{4}-)(\d+) to \1(\d+)")
_PROGS = "guest-tests/progs/"
_SUITES = "guest-tests/suites/"
COLUMNS = 5


def numbers(text):
    """The CVE numbers in a text; A to B means all of them."""
    found = set(_NUMBER.findall(text))
    for year, first, last in _RANGE.findall(text):
        found.update(f"{year}{number}" for number in range(int(first), int(last) + 1))
    return found


def rows(text):
    """The table's rows as (line, cells)."""
    for at, line in enumerate(text.splitlines(), 1):
        if line.startswith("| CVE-"):
            yield at, [cell.strip() for cell in line.strip().strip("|").split("|")]


def _strings(text):
    """The string literals of C or shell, those that follow each other joined."""
    joined = re.sub(r"\"\s*\n\s*\"", "", text)
    return re.findall(r"\"((?:[^\"\\]|\\.)*)\"", joined)


def _programs(files):
    """{source file: program} of the Makefile in progs/."""
    found = {}
    for line in files.get(_PROGS + "Makefile", "").splitlines():
        if match := re.match(r"([\w-]+)_SRC\s*:=\s*(.*)", line):
            found.update((_PROGS + name, match[1]) for name in match[2].split())
    return found


def _suite(files, name):
    for suffix in (".sh", ".py"):
        if _SUITES + name + suffix in files:
            return files[_SUITES + name + suffix]
    return None


def _prints(files, suite, title):
    """Does a program of the suite, or the suite itself, print a name with TITLE in it?"""
    if any(title in string for string in _strings(suite)):
        return True
    return any(title in string and re.search(rf"(?<![\w-]){re.escape(program)}(?![\w-])", suite)
               for path, program in _programs(files).items()
               for string in _strings(files.get(path, "")))


def _row(files, cells):
    """What is wrong with a row."""
    if len(cells) != COLUMNS or not cells[4]:
        return f"{len(cells)} cells, {COLUMNS} wanted"
    name, title = cells[2].strip("`"), cells[3].strip("`")
    suite = _suite(files, name)
    if suite is None:
        return f"no suite {name}"
    if missing := numbers(cells[0]) - numbers(title):
        return f"the test's name lacks {', '.join(sorted(missing))}"
    if not _prints(files, suite, title):
        return f"suite {name} has no test \"{title}\""
    for other in re.findall(r"\(`([\w-]+)`\)", cells[4]):
        if "/dev/vhost-net" not in (_suite(files, other) or ""):
            return f"suite {other} doesn't run on stock"
    return ""


def complaints(name, text, files):
    """What is wrong with the table. FILES: {name: text} of all that may be compared."""
    found, known = [], set()
    for at, cells in rows(text):
        known |= numbers(cells[0])
        if wrong := _row(files, cells):
            found.append(f"{name}:{at}: {wrong}")
    for path, other in files.items():
        if path.startswith((_PROGS, _SUITES)) and os.path.splitext(path)[1] in (".c", ".sh", ".py"):
            found += [f"{path}: {number} isn't in {name}"
                      for number in sorted(numbers(other) - known)]
    return found

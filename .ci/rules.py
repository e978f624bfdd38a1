# SPDX-License-Identifier: GPL-2.0-only
"""This project's own rules on its files: each returns the lines that break one."""

import ast
import os
import re
import subprocess
import xml.etree.ElementTree

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUNCTION_LINES, FILE_LINES = 60, 700
# Licence texts, other people's formats, and input of fuzzers.
_FOREIGN = re.compile(r"(^|/)corpus/|(^|/)(LICENSE|\.gitignore|\.gitattributes)$|\.(patch|json|bin)$|"
                      r"(^|/)debian/(changelog|copyright|source/format)$|"
                      # QEMU's licence, not ours.
                      r"^qemu-patches/.*/series$")


class Source:
    """A file of the repository: its name from the root, its text, what it is written in."""

    def __init__(self, name):
        self.name = name
        with open(os.path.join(REPO, name), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.splitlines()
        self.kind = self._kind()

    def _kind(self):
        first = self.lines[0] if self.lines else ""
        suffix = os.path.splitext(self.name)[1]
        if first.startswith("#!") and re.search(r"python", first) or suffix == ".py":
            return "python"
        if re.match(r"#! ?/.*\b(sh|bash|dash)\b", first) or suffix == ".sh":
            return "shell"
        return {".c": "c", ".h": "c", ".md": "markdown", ".svg": "svg"}.get(suffix, "other")


def sources():
    """What git tracks or would track, but pictures: build products and the cache are ignored."""
    words = ["git", "-c", f"safe.directory={REPO}", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"]
    out = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True).stdout
    names = sorted({name for name in out.split("\0") if name})
    # Drawn by bench/report: no text, so no lines, and nowhere for a licence.
    return [Source(name) for name in names
            if not name.endswith(".png") and os.path.isfile(os.path.join(REPO, name))]


def _c_functions(source):
    """(first line, lines) of each function body that opens in column 0."""
    begin = None
    for at, line in enumerate(source.lines):
        if line == "{":
            begin = at
            while begin and re.match(r"[^#\s/*}].*[^;]$|\s+\S.*[,)]$", source.lines[begin - 1]):
                begin -= 1
        elif line == "}" and begin is not None:
            yield begin + 1, at + 1 - begin
            begin = None


def _shell_functions(source):
    begin = None
    for at, line in enumerate(source.lines):
        if re.match(r"\w+\(\) [{(]$", line):
            begin = at
        elif line in ("}", ")") and begin is not None:
            yield begin + 1, at + 1 - begin
            begin = None


def _python_functions(source):
    try:
        tree = ast.parse(source.text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


_FUNCTIONS = {"c": _c_functions, "shell": _shell_functions, "python": _python_functions}


def function_length(source):
    """Functions are short enough to be read at once."""
    found = _FUNCTIONS[source.kind](source) if source.kind in _FUNCTIONS else ()
    return [f"{source.name}:{line}: function of {length} lines"
            for line, length in found if length > FUNCTION_LINES]


def file_length(source):
    """One concept a file."""
    if _FOREIGN.search(source.name) or len(source.lines) <= FILE_LINES:
        return []
    return [f"{source.name}: {len(source.lines)} lines"]


_DOCUMENTED = re.compile(r"^/\*\*((?:(?!\*/).)*)\*/\n(?!static\b)([^;{}]+)\n\{$", re.M | re.S)


def kernel_doc(source):
    """Who calls a module's function from another file reads what it answers, and when he may."""
    found = []
    if source.kind == "c" and source.name.startswith("vhost/"):
        for match in _DOCUMENTED.finditer(source.text):
            wanted = ["Context:"] if re.match(r"(\w+ )*void \w", match[2]) else ["Return:", "Context:"]
            line = source.text.count("\n", 0, match.start(2)) + 1
            found += [f"{source.name}:{line}: kernel-doc without {word}" for word in wanted
                      if word not in match[1]]
    return found


def spdx(source):
    """The licence on line 1, or on line 2 below a #! line."""
    if _FOREIGN.search(source.name) or not source.lines:
        return []
    at = 1 if source.lines[0].startswith("#!") else 0
    line = source.lines[at] if at < len(source.lines) else ""
    return [] if "SPDX-License-Identifier: GPL-2.0-only" in line else [
        f"{source.name}:{at + 1}: no SPDX-License-Identifier: GPL-2.0-only"]


# Hosts that only name something: a namespace, a reserved name, a place to read. What
# serves packages comes from the machine's own configuration.
_HOSTS = re.compile(r"^(www\.w3\.org|www\.debian\.org|[a-z.]*\bgnu\.org|[a-z.]*\bfsf\.org|docs\.oasis-open\.org|"
                    r"lore\.kernel\.org|docs\.kernel\.org|qemu\.org|www\.qemu\.org|"
                    r"([a-z0-9-]+\.)*(example|invalid|test)(\.(org|com|net))?|localhost)$")
_URL = re.compile(r"\b[a-z][a-z+]*://([A-Za-z0-9.-]+)")
_MIRROR = re.compile(r"\b(deb|ftp\d?|mirrors?|security|snapshot|archive|registry|proxy|pypi|"
                     r"index|crates)(\.[a-z0-9-]+)*\.(org|com|net|io|debian)\b")


def no_mirror(source):
    """No host of a package registry or mirror."""
    found = []
    for at, line in enumerate(source.lines):
        # A name without a dot is of no network: tests make such names up.
        bad = [host for host in _URL.findall(line)
               if "." in host.strip(".") and not _HOSTS.match(host.lower())]
        bad += [match[0] for match in _MIRROR.finditer(line) if not _HOSTS.match(match[0])]
        found += [f"{source.name}:{at + 1}: host {host}" for host in bad]
    return found


def _own_paths():
    """This checkout, the folder around it unless that is a common one, and homes."""
    around = os.path.dirname(REPO)
    common = ("/", "/tmp", "/var/tmp", "/root", "/home", "/srv", "/opt", "/usr/src", "/usr/local/src",
              "/src", "/build")
    literal = [re.escape(REPO + "/"), re.escape(REPO)]
    if around not in common:
        # A short one may be a part of others, as in $TOP/check/.
        literal.append(r"(?<![\w./*$\"})])" + re.escape(around + "/"))
    return re.compile("|".join([*literal, r"/home/[a-z]\w*", r"/Users/\w+"]))


def no_machine_path(source):
    """No absolute path of the machine it was written on."""
    paths = _own_paths()
    return [f"{source.name}:{at + 1}: path {match[0]}" for at, line in enumerate(source.lines)
            if (match := paths.search(line))]


def no_notes(source):
    """Work that is left is an issue, not a comment."""
    return [f"{source.name}:{at + 1}: {line.strip()}" for at, line in enumerate(source.lines)
            if re.search(r"\b(TO[D]O|FIX[M]E|XX[X])\b", line)]


def links(source):
    """Documents point to files that are there; drawings are well-formed."""
    if source.kind == "svg":
        try:
            xml.etree.ElementTree.fromstring(source.text.encode())
        except xml.etree.ElementTree.ParseError as error:
            return [f"{source.name}: {error}"]
    if source.kind != "markdown":
        return []
    found = []
    for target in re.findall(r"\]\(([^)#\s]+)|(?:src|srcset|href)=\"([^\"#]+)\"", source.text):
        path = target[0] or target[1]
        if "://" not in path and not os.path.exists(
                os.path.join(REPO, os.path.dirname(source.name), path)):
            found.append(f"{source.name}: link to {path}, which isn't there")
    return found


RULES = (("functions of at most 60 lines", function_length),
         ("files of at most 700 lines", file_length),
         ("kernel-doc of the modules' functions has Return: and Context:", kernel_doc),
         ("the licence on line 1", spdx),
         ("no host of a registry or mirror", no_mirror),
         ("no path of this machine", no_machine_path),
         ("no notes of work left", no_notes),
         ("documents: links resolve, drawings are well-formed", links))

# What the compiler, the module loader and the tracepoint macros name by themselves.
_GENERATED = re.compile(r"^(init_module|cleanup_module|__this_module|__UNIQUE_ID_.*|__ksymtab_.*|"
                        r"__kstrtab\w*|__crc_.*|__param_.*|__pfx_.*|__cfi_.*|__mod_.*|__export_symbol_.*)$")
_TRACE = re.compile(r"^__(tracepoint|traceiter|probestub|SCK__tp_func|SCT__tp_func|event|bpf_trace)_")


def foreign_symbols(nm_output):
    """Names of `nm --extern-only --defined-only` output that lack the prefix vd_."""
    names = [line.split()[-1] for line in nm_output.splitlines() if len(line.split()) == 3]
    return [name for name in names
            if not _GENERATED.match(name) and not _TRACE.sub("", name).startswith("vd_")]

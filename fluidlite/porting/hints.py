"""What to do about errors that end old scripts: Python 2, what came before Fluid, and what came with Paddle."""

import linecache
import re
import sys
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]

# Syntax that only Python 2 knows: what a line holds -> what it is, and how Python 3 writes it.
_SYNTAX = [
    (r"^\s*print\b\s*(?![\s(=.,)\]:]|$)", "a print statement", "print(...)"),
    (r"[:;]\s*print\b\s*(?![\s(=.,)\]:]|$)", "a print statement", "print(...)"),
    (r"^\s*exec\b\s*(?![\s(=.,)\]:]|$)", "an exec statement", "exec(...)"),
    (r"^\s*except\b[^:#]*,\s*\w+\s*:", "`except X, error`", "`except X as error`"),
    (r"^\s*raise\b\s+[\w.]+\s*,", "`raise X, message`", "`raise X(message)`"),
    (r"`[^`]+`", "a repr in backticks", "repr(...)"),
    (r"<>", "`<>`", "`!=`"),
    (r"\b(0[xX][0-9a-fA-F]+|\d+)[lL]\b", "a long integer", "a number without L"),
    (r"(?<![\w.])0[0-7]+(?![\w.])", "an octal number with a bare 0", "0o..."),
    (r"\b[uU][rR]['\"]", "a ur'...' string", "r'...'"),
    (r"\b(def\s+\w+\s*\(|lambda\s)[^:]*\(", "a tuple among parameters", "one name, unpacked in the body"),
]
_NAMES = {
    "xrange": "range", "unicode": "str", "basestring": "str", "unichr": "chr", "long": "int", "raw_input": "input",
    "reduce": "functools.reduce", "reload": "importlib.reload", "file": "open", "execfile": "exec",
    "cmp": "a key function", "izip": "zip", "imap": "map",
}  # fmt: skip
_MODULES = {
    "cPickle": "pickle", "cStringIO": "io", "StringIO": "io", "Queue": "queue", "ConfigParser": "configparser",
    "urllib2": "urllib.request", "urlparse": "urllib.parse", "commands": "subprocess", "__builtin__": "builtins",
    "copy_reg": "copyreg", "HTMLParser": "html.parser", "httplib": "http.client", "SocketServer": "socketserver",
    "thread": "_thread", "Tkinter": "tkinter",
}  # fmt: skip
_METHODS = {"iteritems": "items", "iterkeys": "keys", "itervalues": "values", "has_key": "`in`"}
_BEFORE_FLUID = frozenset([
    "activation", "attr", "data_type", "evaluator", "event", "infer", "inference", "init", "layer", "networks",
    "optimizer", "parameters", "pooling", "topology", "trainer",
])  # fmt: skip
# Modules that Paddle 1.8.5 brought along and fluidlite's extra `era` brings -> the package, if it has another name.
_ERA = {name: name for name in (
    "astor", "decorator", "funcsigs", "gast", "graphviz", "matplotlib", "nltk", "objgraph", "prettytable", "rarfile",
    "requests", "scipy", "six",
)} | {"cv2": "opencv-python-headless", "yaml": "pyyaml"}  # fmt: skip


def hint(error):
    """A sentence or two about an uncaught error, or None."""
    if isinstance(error, SyntaxError):
        return _of_syntax(error)
    name = getattr(error, "name", None)
    if isinstance(error, ImportError):
        package, _, last = (name or "").rpartition(".")
        if package in ("paddle", "paddle.v2"):
            return _before_fluid(package, last)
        if name in (_PACKAGE, f"{_PACKAGE}.v2"):
            return _before_fluid("paddle", getattr(error, "name_from", None))  # Python 3.12 and newer
        return _of_era(name) or _python_2(name, _MODULES, "module")
    if isinstance(error, NameError):
        return _python_2(name, _NAMES, "name")
    if isinstance(error, AttributeError):
        return _of_attribute(error)
    if isinstance(error, TypeError) and "0-dimensional arrays can be converted" in str(error):
        return (
            "NumPy 2.4 and newer make a number only of an array without dimensions. Write a.item() for the array a, or "
            "install an older one: pip install 'numpy<2.4'"
        )
    return None


def _of_attribute(error):
    owner = getattr(error.obj, "__name__", None) if isinstance(error.obj, ModuleType) else None
    if owner is None:
        return _python_2(error.name, _METHODS, "method")
    if owner in (_PACKAGE, f"{_PACKAGE}.v2"):
        return _before_fluid("paddle", error.name)
    return None


def _of_era(name):
    if name not in _ERA:
        return None
    return (
        f"{name} came along with Paddle, and does not with fluidlite: pip install {_ERA[name]}\n"
        "Or have all that came along: pip install 'fluidlite[era]'"
    )


def _before_fluid(package, name):
    if name not in _BEFORE_FLUID:
        return None
    return (
        f"{package}.{name} belongs to the API that Paddle had before Fluid, and fluidlite does not have it.\n"
        "Write the network with fluid.layers, and train it with fluid.Executor."
    )


def _of_syntax(error):
    line = error.text or linecache.getline(error.filename or "", error.lineno or 0)
    if isinstance(error, TabError):
        what, instead = "an indentation that mixes tabs and spaces", "spaces only"
    else:
        found = (meaning for pattern, *meaning in _SYNTAX if re.search(pattern, _without_strings(line)))
        what, instead = next(found, (None, None))
    if what is None:
        return None
    name = error.filename
    tool = "2to3" if sys.version_info < (3, 13) else "pip install fissix; python -m fissix"
    return (
        f"{name} is written in Python 2: line {error.lineno} has {what}, which Python 3 writes as {instead}.\n"
        f"Change that line, or convert the whole file: {tool} -w -n {name}"
    )


def _python_2(name, known, kind):
    if name not in known:
        return None
    return f"the {kind} {name} is one of Python 2; Python 3 has {known[name]} instead."


def _without_strings(line):
    """The line with its string literals emptied and its comment gone; prefixes such as ur stay."""
    line = re.sub(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", "''", line)
    return line.partition("#")[0]

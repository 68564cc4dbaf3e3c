"""Arrays of one element as numbers: `"%f" % a` and `float(a)`, which NumPy refuses since 2.4 for a shape like (1,).

A fetched array converts by itself, but scripts also make such arrays with NumPy's functions.  So a script's own
`"..." % values`, `float(...)` and `int(...)` are compiled to calls which, where NumPy refuses, try again with arrays
that convert.
"""

import ast
import contextlib
import warnings

import numpy as np

from ..fluid.executor import FetchedArray

_FORMAT, _CONVERT = "__fluidlite_format__", "__fluidlite_convert__"


def compiled(source, file):
    """The code of a script (bytes or str); raises SyntaxError as `compile` does."""
    tree = compile(source, file, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    if _numpy_refuses():
        tree = ast.fix_missing_locations(_Calls().visit(tree))
    return compile(tree, file, "exec", dont_inherit=True)


def _numpy_refuses():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # before it refused, it warned
        try:
            float(np.zeros(1))
        except TypeError:
            return True
    return False


class _Calls(ast.NodeTransformer):
    def visit_BinOp(self, node):
        self.generic_visit(node)
        text = isinstance(node.left, ast.JoinedStr) or isinstance(getattr(node.left, "value", None), str)
        if not isinstance(node.op, ast.Mod) or not text:
            return node
        return _call(node, _FORMAT, node.left, node.right)

    def visit_Call(self, node):
        self.generic_visit(node)
        converts = isinstance(node.func, ast.Name) and node.func.id in ("float", "int")
        if not converts or len(node.args) != 1 or isinstance(node.args[0], ast.Starred) or node.keywords:
            return node
        return _call(node, _CONVERT, node.func, node.args[0])


def _call(node, name, *arguments):
    function = ast.copy_location(ast.Name(name, ast.Load()), node)
    return ast.copy_location(ast.Call(function, list(arguments), []), node)


def _format(text, values):
    with contextlib.suppress(TypeError):
        return text % values
    return text % (tuple(map(_number, values)) if isinstance(values, tuple) else _number(values))


def _convert(type, value):
    with contextlib.suppress(TypeError):
        return type(value)
    return type(_number(value))


def _number(value):
    is_one = isinstance(value, np.ndarray) and value.size == 1
    return value.view(FetchedArray) if is_one else value


# What the code of `compiled` calls.
NAMES = {_FORMAT: _format, _CONVERT: _convert}

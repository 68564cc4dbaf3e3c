"""Mistakes with blocks inside blocks, and what looks like one; the real Paddle says which are errors.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_control_flow.py) and on fluidlite.
"""

import numpy as np

ROWS, YES = np.ones((2, 3), "float32"), np.array([True])
BOTH = {"x": ROWS, "y": ROWS}


class Script:
    """What a mistake is made with."""

    def __init__(self, fluid):
        self.fluid, self.layers = fluid, fluid.layers

    def x(self, name="x"):
        return self.fluid.data(name, [2, 3], "float32")

    def p(self, shape=(1,), dtype="bool", name="p"):
        return self.fluid.data(name, list(shape), dtype)

    def i(self, value=0):
        return self.layers.fill_constant([1], "int64", value)

    def f(self, value=0.0):
        return self.layers.fill_constant([1], "float32", value)

    def few(self, i, *others):
        return self.layers.less_than(i, self.i(3))

    def cond(self, p):
        return self.layers.cond(p, lambda: self.x() * 2.0, lambda: self.x("y") * 3.0)

    def returns(self, yes, no):
        return self.layers.cond(self.p(), lambda: yes, lambda: no)

    def loop(self, body, *variables):
        return self.layers.while_loop(self.few, body, list(variables) or [self.i()])

    def switch(self, use):
        with self.layers.Switch() as switch:
            return use(switch)


def while_class(t, p):
    with t.layers.While(p).block():
        t.layers.assign(p, p)
    return p


# name: (builds and returns the fetches, feed or None where it is not run)
ERRORS = {
    "cond_of_python_bool": (lambda t: t.cond(True), None),
    "cond_of_float": (lambda t: t.cond(t.p(dtype="float32")), None),
    "cond_of_int": (lambda t: t.cond(t.p(dtype="int32")), None),
    "cond_of_two": (lambda t: t.cond(t.p([2])), dict(BOTH, p=np.array([True, True]))),
    "cond_of_open_two": (lambda t: t.cond(t.p([-1])), dict(BOTH, p=np.array([True, True]))),
    "cond_of_open_one": (lambda t: t.cond(t.p([-1])), dict(BOTH, p=YES)),
    "cond_of_one_by_one": (lambda t: t.cond(t.p([1, 1])), dict(BOTH, p=YES.reshape(1, 1))),
    "cond_true_fn_variable": (lambda t: t.layers.cond(t.p(), t.x(), lambda: t.x("y")), None),
    "cond_false_fn_number": (lambda t: t.layers.cond(t.p(), lambda: t.x(), 3), None),
    "cond_fn_with_argument": (lambda t: t.layers.cond(t.p(), lambda a: t.x(), lambda: t.x("y")), None),
    "cond_name_number": (lambda t: t.layers.cond(t.p(), lambda: t.x(), lambda: t.x("y"), name=3), None),
    "cond_one_returns_none": (lambda t: t.returns(t.x(), None), None),
    "cond_result_without_else": (lambda t: t.layers.cond(t.p(), lambda: t.x() * 2.0), None),
    "cond_both_none": (lambda t: [t.layers.cond(t.p(), None, None) or t.i()], {"p": YES}),
    "cond_other_length": (lambda t: t.returns((t.f(), t.f()), t.f()), None),
    "cond_other_structure": (lambda t: t.returns((t.f(), [t.f()]), ([t.f()], t.f())), None),
    "cond_tuple_and_list": (lambda t: t.returns((t.f(), t.f()), [t.f(), t.f()]), {"p": YES}),
    "cond_other_dtype": (lambda t: t.layers.cond(t.p(), t.i, t.f), {"p": YES}),
    "cond_other_rank": (lambda t: t.layers.cond(t.p(), lambda: t.x() * 2.0, t.f), {"p": ~YES, "x": ROWS}),
    "cond_returns_numbers": (lambda t: t.returns(1.0, 2.0), None),
    "cond_returns_arrays": (lambda t: t.returns(ROWS, ROWS), None),
    "cond_returns_number_and_variable": (lambda t: t.returns(1, t.i()), None),
    "cond_inside_fetched": (lambda t: (t.cond(t.p()), "tmp_0")[1], dict(BOTH, p=YES)),
    "while_loop_cond_variable": (lambda t: t.layers.while_loop(t.p(), lambda i: [i + 1], [t.i()]), None),
    "while_loop_body_number": (lambda t: t.layers.while_loop(t.few, 3, [t.i()]), None),
    "while_loop_no_variables": (lambda t: t.layers.while_loop(lambda: t.p(), lambda: [], []), None),
    "while_loop_one_variable": (lambda t: t.layers.while_loop(t.few, lambda i: [i + 1], t.i()), None),
    "while_loop_tuple": (lambda t: t.layers.while_loop(t.few, lambda i: [i + 1], (t.i(),)), {}),
    "while_loop_number": (lambda t: t.layers.while_loop(lambda i: t.few(t.i()), lambda i: [i + 1], [3]), None),
    "while_loop_cond_gives_bool": (lambda t: t.layers.while_loop(lambda i: False, lambda i: [i + 1], [t.i()]), None),
    "while_loop_cond_gives_int": (lambda t: t.layers.while_loop(lambda i: i, lambda i: [i + 1], [t.i()]), None),
    "while_loop_cond_gives_two": (lambda t: t.layers.while_loop(lambda i: t.p([2]), lambda i: [i], [t.i()]), None),
    "while_loop_cond_gives_open": (lambda t: t.layers.while_loop(lambda i: t.p([-1]), lambda i: [i], [t.i()]), None),
    "while_loop_cond_takes_fewer": (
        lambda t: t.layers.while_loop(lambda i: t.p(), lambda i: [i], [t.i(), t.i()]),
        None,
    ),
    "while_loop_body_gives_fewer": (lambda t: t.loop(lambda i, j: [i + 1], t.i(), t.i()), None),
    "while_loop_body_gives_more": (lambda t: t.loop(lambda i: [i + 1, i]), None),
    "while_loop_body_gives_variable": (lambda t: t.loop(lambda i: i + 1), {}),
    "while_loop_body_gives_tuple": (lambda t: t.loop(lambda i: (i + 1,)), {}),
    "while_loop_body_gives_none": (lambda t: t.loop(lambda i: None), None),
    "while_loop_body_gives_number": (lambda t: t.loop(lambda i, j: [i + 1, 3.0], t.i(), t.f()), None),
    "while_loop_other_dtype": (lambda t: t.loop(lambda i, j: [i + 1, t.layers.cast(j, "int64")], t.i(), t.f()), {}),
    "while_loop_other_structure": (lambda t: t.loop(lambda i, j: [i + 1, j[0]], t.i(), [t.f()]), None),
    "while_loop_other_shape": (lambda t: t.loop(lambda i, j: [i + 1, t.layers.concat([j, j])], t.i(), t.f()), {}),
    "while_class_python_bool": (lambda t: while_class(t, True), None),
    "while_class_int": (lambda t: while_class(t, t.i()), None),
    "while_class_two": (lambda t: while_class(t, t.p([2])), None),
    "while_class_open": (lambda t: while_class(t, t.p([-1])), None),
    "case_number": (lambda t: t.layers.case(3), None),
    "case_nothing": (lambda t: t.layers.case([]), None),
    "case_of_number": (lambda t: t.layers.case([3]), None),
    "case_of_three": (lambda t: t.layers.case([(t.p(), t.f, 3)]), None),
    "case_of_lists": (lambda t: t.layers.case([[t.p(), t.f]]), None),
    "case_python_bool": (lambda t: t.layers.case([(True, t.f)]), None),
    "case_variable_for_function": (lambda t: t.layers.case([(t.p(), t.f())]), None),
    "case_default_number": (lambda t: t.layers.case([(t.p(), t.f)], default=3), None),
    "case_one": (lambda t: t.layers.case([(t.p(), t.f)]), {"p": ~YES}),
    "switch_case_python_int": (lambda t: t.layers.switch_case(1, [t.f]), None),
    "switch_case_float": (lambda t: t.layers.switch_case(t.f(), [t.f]), None),
    "switch_case_two": (lambda t: t.layers.switch_case(t.p([2], "int64"), [t.f, t.f]), {"p": np.array([0, 1])}),
    "switch_case_number": (lambda t: t.layers.switch_case(t.i(), 3), None),
    "switch_case_nothing": (lambda t: t.layers.switch_case(t.i(), []), None),
    "switch_case_key_twice": (lambda t: t.layers.switch_case(t.i(), [(1, t.f), (1, t.f)]), None),
    "switch_case_key_string": (lambda t: t.layers.switch_case(t.i(), {"a": t.f}), None),
    "switch_case_key_negative": (lambda t: t.layers.switch_case(t.i(-1), {-1: t.f, 2: lambda: t.f(2.0)}), {}),
    "switch_case_number_for_function": (lambda t: t.layers.switch_case(t.i(), {1: 3}), None),
    "switch_case_default_number": (lambda t: t.layers.switch_case(t.i(), {1: t.f}, default=3), None),
    "switch_class_default_first": (lambda t: t.switch(lambda s: s.default().__enter__()), None),
    "switch_class_python_bool": (lambda t: t.switch(lambda s: s.case(True).__enter__()), None),
    "switch_class_without_with": (lambda t: t.layers.Switch().case(t.p()).__enter__(), None),
    "array_read_of_tensor": (lambda t: t.layers.array_read(t.x(), t.i()), None),
    "array_read_beyond": (lambda t: t.layers.array_read(t.layers.array_write(t.x(), t.i()), t.i(5)), {"x": ROWS}),
    "array_write_at_int32": (lambda t: t.layers.array_write(t.x(), t.p(dtype="int32")), None),
    "array_length_of_tensor": (lambda t: t.layers.array_length(t.x()), None),
}


def outcome(fluid, name):
    """The exception, and whether it came from building or running ("build", "run"), or None for both."""
    build, feed = ERRORS[name]
    main, startup, phase = fluid.Program(), fluid.Program(), "build"
    try:
        with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
            fetches = build(Script(fluid))
            phase = "run"
            if feed is not None:
                exe = fluid.Executor(fluid.CPUPlace())
                exe.run(main, feed=feed, fetch_list=list(flat(fetches)))
    except Exception as error:
        return error, phase
    return None, None


def flat(fetches):
    if not isinstance(fetches, (list, tuple)):
        return [fetches]
    return [var for fetch in fetches for var in flat(fetch)]

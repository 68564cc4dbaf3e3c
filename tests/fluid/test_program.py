"""Programs: what layers append, clones, names, scopes of names."""

import pytest

import fluidlite.fluid as fluid


def types(program):
    return [op.type for op in program.global_block().ops]


def small_net():
    x = fluid.data("x", [None, 4])
    h = fluid.layers.dropout(fluid.layers.batch_norm(fluid.layers.fc(x, 3)), 0.5)
    return fluid.layers.mean(h)


def test_layers_append_operators_and_name_their_variables():
    x = fluid.data("x", [None, 4])
    y = fluid.layers.fc(x, 3, act="relu")
    assert types(fluid.default_main_program()) == ["mul", "elementwise_add", "relu"]
    assert y.name == "fc_0.tmp_2" and y.shape == (-1, 3) and y.dtype == fluid.core.VarDesc.VarType.FP32
    assert [p.name for p in fluid.default_main_program().all_parameters()] == ["fc_0.w_0", "fc_0.b_0"]
    assert types(fluid.default_startup_program()) == ["fill_constant", "uniform_random"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_clone_for_test_works_before_and_after_minimize(when):
    loss = small_net()
    main = fluid.default_main_program()
    if when == "before":
        test = main.clone(for_test=True)
    fluid.optimizer.Adam(0.1).minimize(loss)
    if when == "after":
        test = main.clone(for_test=True)
    assert types(test) == ["mul", "elementwise_add", "batch_norm", "dropout", "mean"]
    assert [op.attr("is_test") for op in test.global_block().ops if op.has_attr("is_test")] == [True, True]
    assert not any(op.attr("is_test") for op in main.global_block().ops if op.has_attr("is_test"))
    assert not any(name.endswith("@GRAD") for name in test.global_block().vars)


def test_a_clone_shares_no_variable_but_the_parameters_values(exe):
    x = fluid.data("x", [1, 2])
    y = fluid.layers.fc(x, 1)
    clone = fluid.default_main_program().clone()
    assert clone.global_block().var(y.name) is not y
    exe.run(fluid.default_startup_program())
    feed = {"x": [[1.0, 2.0]]}
    assert exe.run(feed=feed, fetch_list=[y])[0] == exe.run(clone, feed=feed, fetch_list=[y.name])[0]


def test_the_version_grows_with_every_change():
    program = fluid.default_main_program()
    seen = [program.version]
    x = fluid.data("x", [1])
    seen.append(program.version)
    fluid.layers.relu(x)
    seen.append(program.version)
    program.random_seed = 3
    seen.append(program.version)
    assert seen == sorted(set(seen))


def test_a_program_prints_its_variables_and_operators():
    small_net()
    text = str(fluid.default_main_program())
    assert "batch_norm(" in text and "fc_0.w_0" in text and "(4, 3)" in text


def test_names_start_afresh_under_a_guard():
    assert fluid.unique_name.generate("fc") == "fc_0"
    with fluid.unique_name.guard():
        assert fluid.unique_name.generate("fc") == "fc_0"
    with fluid.unique_name.guard("teacher_"):
        assert fluid.unique_name.generate("fc") == "teacher_fc_0"
    assert fluid.unique_name.generate("fc") == "fc_1"
    old = fluid.unique_name.switch()
    assert fluid.unique_name.generate("fc") == "fc_0"
    fluid.unique_name.switch(old)
    assert fluid.unique_name.generate("fc") == "fc_2"


def test_name_scopes_mark_operators_and_nest():
    x = fluid.data("x", [1])
    with fluid.name_scope("encoder"):
        with fluid.name_scope("layer"):
            y = fluid.layers.relu(x)
        with fluid.name_scope("layer"):
            z = fluid.layers.relu(y)
    assert (y.op.attr("op_namescope"), z.op.attr("op_namescope")) == ("/encoder/layer/", "/encoder/layer_1/")
    assert y.op.desc.attr("op_namescope") == "/encoder/layer/"


def test_a_global_seed_is_that_of_programs_to_come(monkeypatch):
    monkeypatch.setattr(fluid.Program, "_default_seed", 0)
    fluid.default_main_program().global_seed(102)
    assert fluid.default_main_program().random_seed == fluid.Program().random_seed == 102
    with pytest.raises(ValueError, match="integer"):
        fluid.Program().global_seed("a")


def test_parameters_are_shared_by_name():
    x = fluid.data("x", [None, 4])
    for _ in range(2):
        x = fluid.layers.fc(x, 4, param_attr="shared", bias_attr=False)
    assert [p.name for p in fluid.default_main_program().all_parameters()] == ["shared"]
    with pytest.raises(ValueError, match="shared.*\\[4, 4\\].*\\[4, 5\\]"):
        fluid.layers.fc(x, 5, param_attr="shared")


def test_operators_remember_the_line_of_the_user():
    x = fluid.data("x", [1])
    y = fluid.layers.relu(x)  # this line
    assert y.op.callstack.filename == __file__ and "# this line" in str(y.op.callstack)


def test_a_variable_has_no_truth_and_no_values():
    x = fluid.data("x", [2])
    with pytest.raises(TypeError, match="fetch it"):
        bool(x)
    with pytest.raises(TypeError):
        iter(x)


def test_there_is_no_imperative_mode():
    assert fluid.in_dygraph_mode() is False

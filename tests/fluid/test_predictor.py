"""Prediction with saved models, as Paddle 1.8.5's inference library does it; what is expected, it has given."""

import threading

import numpy as np
import pytest

from fluidlite import fluid
from fluidlite.fluid import core


@pytest.fixture
def saved(exe, tmp_path):
    """A model of sequences, saved in a folder and in two files, and what it predicts: (folder, rows, lod, results)."""
    words = fluid.data("words", [-1, 4], lod_level=1)
    pooled = fluid.layers.fc(fluid.layers.sequence_pool(words, "sum"), 2)
    shares = fluid.layers.sequence_softmax(fluid.layers.fc(words, 1))
    exe.run(fluid.default_startup_program())
    fluid.io.save_inference_model(str(tmp_path / "apart"), ["words"], [pooled, shares], exe)
    fluid.io.save_inference_model(
        str(tmp_path / "joined"), ["words"], [pooled, shares], exe, model_filename="model", params_filename="params"
    )
    rows = np.arange(12, dtype="float32").reshape(3, 4)
    fed = fluid.create_lod_tensor(rows, [[2, 1]], fluid.CPUPlace())
    results = exe.run(feed={"words": fed}, fetch_list=[pooled, shares], return_numpy=False)
    return tmp_path, rows, [[0, 2, 3]], list(map(np.array, results))


def predict(predictor, rows, lod, name=""):
    return predictor.run([core.PaddleTensor(rows, name, lod)])


def check(found, expected):
    for tensor, array in zip(found, expected, strict=True):
        np.testing.assert_array_equal(tensor.as_ndarray(), array)


def test_a_folder(saved):
    folder, rows, lod, expected = saved
    predictor = core.create_paddle_predictor(core.AnalysisConfig(str(folder / "apart")))
    found = predict(predictor, rows, lod)
    check(found, expected)
    assert [(one.shape, one.lod, one.dtype) for one in found] == [
        ([2, 2], [], core.PaddleDType.FLOAT32),
        ([3, 1], [[0, 2, 3]], core.PaddleDType.FLOAT32),
    ]
    assert [one.name for one in found] == predictor.get_output_names()
    assert [one.data.length() for one in found] == [16, 12]
    assert predictor.get_input_names() == ["words"]
    assert predictor.get_input_tensor_shape() == {"words": [-1, 4]}


def test_two_files(saved):
    folder, rows, lod, expected = saved
    program, parameters = str(folder / "joined" / "model"), str(folder / "joined" / "params")
    for config in (core.AnalysisConfig(program, parameters), core.AnalysisConfig()):
        config.set_model(program, parameters)
        check(predict(core.create_paddle_predictor(core.AnalysisConfig(config)), rows, lod), expected)
        assert (config.model_dir(), config.prog_file(), config.params_file()) == ("", program, parameters)


def test_a_tensor_takes_another_shape_and_sequences(saved):
    folder, rows, lod, expected = saved
    tensor = core.PaddleTensor(rows.reshape(-1))
    tensor.shape, tensor.lod = [3, 4], lod
    check(core.create_paddle_predictor(core.AnalysisConfig(str(folder / "apart"))).run([tensor]), expected)


def test_names_count_only_where_the_config_says_so(saved):
    folder, rows, lod, expected = saved
    config = core.AnalysisConfig(str(folder / "apart"))
    check(predict(core.create_paddle_predictor(config), rows, lod, "nothing"), expected)
    config.switch_specify_input_names(True)
    named = core.create_paddle_predictor(config)
    check(predict(named, rows, lod, "words"), expected)
    with pytest.raises(core.EnforceNotMet, match="has the inputs words; got .*nothing"):
        predict(named, rows, lod, "nothing")


@pytest.mark.parametrize("count", [0, 2])
def test_inputs_that_are_missing_or_too_many(saved, count):
    folder, rows, lod, _ = saved
    predictor = core.create_paddle_predictor(core.AnalysisConfig(str(folder / "apart")))
    with pytest.raises(core.EnforceNotMet, match=f"has the inputs words; got {count} tensors"):
        predictor.run([core.PaddleTensor(rows, lod=lod)] * count)


def test_clones_predict_at_the_same_time(saved):
    folder, rows, lod, expected = saved
    first = core.create_paddle_predictor(core.AnalysisConfig(str(folder / "apart")))
    wrong = []

    def work(predictor, factor):
        for _ in range(20):
            _, shares = predict(predictor, rows * factor, lod)
            pooled, _ = predict(predictor, rows, lod)
            if not (pooled.as_ndarray() == expected[0]).all() or not np.isclose(shares.as_ndarray().sum(), 2):
                wrong.append(factor)

    threads = [threading.Thread(target=work, args=(first.clone(), factor)) for factor in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_does_not_touch_the_global_scope(saved):
    folder, rows, lod, expected = saved
    predictor = core.create_paddle_predictor(core.AnalysisConfig(str(folder / "apart")))
    for parameter in fluid.default_main_program().all_parameters():
        fluid.global_scope().var(parameter.name).get_tensor().set(np.zeros(parameter.shape, "float32"))
    check(predict(predictor, rows, lod), expected)


def test_settings_start_as_in_paddle():
    config = core.AnalysisConfig("folder")
    config.disable_glog_info()
    config.enable_mkldnn()
    assert (config.model_dir(), config.prog_file(), config.params_file()) == ("folder", "", "")
    assert (config.use_gpu(), config.gpu_device_id(), config.specify_input_name()) == (False, 0, False)
    config.enable_use_gpu(100, 3)
    assert (config.use_gpu(), config.gpu_device_id()) == (True, 3)
    config.disable_gpu()
    assert not config.use_gpu()


def test_what_is_no_model_and_no_tensor(tmp_path):
    with pytest.raises(fluid.io.ModelFileError, match="nowhere"):
        core.create_paddle_predictor(core.AnalysisConfig(str(tmp_path / "nowhere")))
    with pytest.raises(TypeError, match="needs an AnalysisConfig"):
        core.create_paddle_predictor("folder")
    with pytest.raises(TypeError, match="float32, int64 or int32, got .*float64"):
        core.PaddleTensor(np.zeros(3))


def test_buffers():
    buffer = core.PaddleBuf([1.0, 2.0])
    assert (buffer.length(), buffer.float_data(), buffer.empty()) == (8, [1.0, 2.0], False)
    assert core.PaddleTensor(np.zeros((2, 3), "int64"), "x").dtype is core.PaddleDType.INT64

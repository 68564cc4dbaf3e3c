"""`python -m fluidlite run SCRIPT`: scripts written for Paddle run as they are, and otherwise as with plain Python."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import has_mnist
from paths import ROOT
from PIL import Image

from fluidlite.__main__ import main
from fluidlite.porting import hints, one_element, removed_names
from fluidlite.porting.script import program_of

DOCUMENTS = os.environ.get("FLUIDLITE_DOCUMENTS", "")


@pytest.fixture
def write(tmp_path):
    """Writes a script: `write("train.py", code)` returns its path."""

    def write(name, code):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


def python(folder, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, **options
    )


def run(folder, *arguments):
    return python(folder, "-m", "fluidlite", "run", *arguments)


# In the manner of the tutorials of Fluid 1.x and of the book, with the names and the habits of their time.
DIGITS = """
from __future__ import print_function
import os
import argparse
from PIL import Image
import numpy
import paddle
import paddle.fluid as fluid
from paddle.utils.plot import Ploter
import paddle.v2.dataset

def arguments():
    parser = argparse.ArgumentParser("digits")
    parser.add_argument('--num_epochs', type=int, default=5)
    parser.add_argument('--use_gpu', type=bool, default=False)
    return parser.parse_args()

def network(img, label):
    conv = fluid.nets.simple_img_conv_pool(
        input=img, filter_size=5, num_filters=6, pool_size=2, pool_stride=2, act="relu")
    prediction = fluid.layers.fc(input=fluid.layers.batch_norm(conv), size=10, act='softmax')
    loss = fluid.layers.mean(fluid.layers.cross_entropy(input=prediction, label=label))
    return prediction, loss, fluid.layers.accuracy(input=prediction, label=label)

def train(save_dirname):
    reader = paddle.batch(paddle.reader.shuffle(paddle.dataset.digits.train(640), buf_size=500), batch_size=64)
    img = fluid.data(name='img', shape=[None, 1, 28, 28], dtype='float32')
    label = fluid.data(name='label', shape=[None, 1], dtype='int64')
    prediction, avg_loss, acc = network(img, label)
    fluid.optimizer.Adam(learning_rate=0.01).minimize(avg_loss)
    place = fluid.CUDAPlace(0) if args.use_gpu else fluid.CPUPlace()
    exe = fluid.Executor(place)
    feeder = fluid.DataFeeder(feed_list=[img, label], place=place)
    exe.run(fluid.default_startup_program())
    ploter = Ploter("Train cost")
    for epoch_id in range(args.num_epochs):
        for step_id, data in enumerate(reader()):
            metrics = exe.run(fluid.default_main_program(), feed=feeder.feed(data), fetch_list=[avg_loss, acc])
        print("Epoch %d, Cost %f, %f" % (epoch_id, metrics[0], numpy.array(metrics[1])))
        ploter.append("Train cost", step_id, metrics[0])
    fluid.io.save_inference_model(save_dirname, ["img"], [prediction], exe)

def infer(save_dirname):
    exe = fluid.Executor(fluid.CPUPlace())
    im = Image.open(os.path.dirname(os.path.realpath(__file__)) + '/image/infer_3.png').convert('L')
    im = im.resize((28, 28), Image.ANTIALIAS)
    im = numpy.array(im).reshape(1, 1, 28, 28).astype(numpy.float32) / numpy.float(255.0) * 2.0 - 1.0
    with fluid.scope_guard(fluid.core.Scope()):
        program, feeds, fetches = fluid.io.load_inference_model(save_dirname, exe)
        results = exe.run(program, feed={feeds[0]: im.astype('float32')}, fetch_list=fetches)
        print("Inference result of image/infer_3.png is: %d" % numpy.argsort(results)[0][0][-1])

if __name__ == '__main__':
    args = arguments()
    train("digits.inference.model")
    infer("digits.inference.model")
"""


def test_a_script_of_fluids_time_runs_to_its_last_line(write):
    script = write("book/train.py", DIGITS)
    (script.parent / "image").mkdir()
    shutil.copy(os.path.join(ROOT, "book", "image", "infer_3.png"), script.parent / "image")
    ended = run(script.parent.parent, "book/train.py", "--num_epochs", "2")
    assert ended.returncode == 0, ended.stderr
    *epochs, last = ended.stdout.splitlines()
    assert [line.partition(",")[0] for line in epochs] == ["Epoch 0", "Epoch 1"]
    assert re.fullmatch(r"Inference result of image/infer_3.png is: \d", last)
    assert (script.parent.parent / "digits.inference.model" / "__model__").exists()


@pytest.mark.thorough
@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.skipif(not os.path.isdir(DOCUMENTS), reason="FLUIDLITE_DOCUMENTS names no folder with the tutorials")
def test_the_tutorials_code_runs_unmodified_to_its_last_line(tmp_path):
    """All five passes, and not a letter changed: it takes about a minute."""
    [tutorial] = [name for name in os.listdir(DOCUMENTS) if name.startswith("002_")]
    with open(os.path.join(DOCUMENTS, tutorial), encoding="utf-8") as file:
        blocks = re.findall(r"^```python\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    (tmp_path / "tutorial.py").write_text("\n".join(blocks), encoding="utf-8")
    (tmp_path / "image").mkdir()
    shutil.copy(os.path.join(ROOT, "book", "image", "infer_3.png"), tmp_path / "image")
    ended = run(tmp_path, "tutorial.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "Inference result of image/infer_3.png is: 3"
    assert float(re.findall(r"The classification accuracy is (.*)%", ended.stdout)[0]) > 98


ENVIRONMENT = """
import os, sys
print(sys.argv, __file__, __name__, __package__, __spec__, sys.path[0], os.getcwd(), sys.modules["__main__"].__file__)
print(__builtins__, __doc__, __cached__, type(__loader__).__name__)
"""


@pytest.mark.parametrize("arguments", ["sub/s.py --help -m -- x", "../here/sub/s.py", "./link.py -c"])
def test_a_script_finds_what_it_finds_with_plain_python(write, arguments):
    folder = write("here/sub/s.py", ENVIRONMENT).parent.parent
    (folder / "link.py").symlink_to("sub/s.py")
    plain, ours = python(folder, *arguments.split()), run(folder, *arguments.split())
    assert plain.returncode == 0 and ours.stdout == plain.stdout and ours.stderr == ""


def test_a_module_finds_what_it_finds_with_plain_python(write):
    write("package/__init__.py", "")
    write("package/__main__.py", "from . import other\n")
    folder = write(
        "package/other.py", "import sys\nprint(sys.argv, sys.path[0], __package__, __name__)\n"
    ).parent.parent
    for module in ("package", "package.__main__", "package.other"):
        plain = python(folder, "-m", module, "-x", "y")
        ours = run(folder, "-m", module, "-x", "y")
        assert plain.returncode == 0 and ours.stdout == plain.stdout, ours.stderr


FAILURES = """
import sys
def f(kind):
    if kind == "raise":
        raise ValueError("no")
    if kind == "import":
        import paddle.nothing
    if kind == "interrupt":
        raise KeyboardInterrupt
    sys.exit(None if kind == "None" else int(kind) if kind.isdigit() else kind)
f(sys.argv[1])
"""


@pytest.mark.parametrize("kind", ["raise", "interrupt", "0", "3", "None", "a message"])
def test_a_script_ends_as_with_plain_python(write, kind):
    script = write("fail.py", FAILURES)
    plain, ours = python(script.parent, script, kind), run(script.parent, script, kind)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    if kind == "interrupt" and os.name == "posix":
        assert ours.returncode == -signal.SIGINT


def test_the_traceback_of_a_missing_module_ends_in_the_script(write):
    script = write("fail.py", FAILURES)
    ended = run(script.parent, script, "import")
    assert re.findall(r'File "(.*)", line', ended.stderr) == [str(script)] * 2
    assert ended.stderr.endswith("fluidlite stands for paddle and has no fluidlite.nothing\n")


def test_python_2_is_said_to_be_that(write):
    script = write("old.py", 'import os\nprint "cost %f" % 1.5\n')
    ended = run(script.parent, "old.py")
    assert ended.returncode == 1 and ended.stdout == ""
    shown, _, said = ended.stderr.partition("\n\n")
    assert re.search(r'line 2\n    print "cost %f" % 1.5\n    \^', shown)
    assert f"{script} is written in Python 2: line 2 has a print statement" in said
    assert "2to3" in said or "fissix" in said


@pytest.mark.parametrize(
    "line, what",
    [
        ("if x: print x", "a print statement"),
        ("print 'a', (b)", "a print statement"),
        ("try: pass\nexcept (A, B), e: pass", "`except X, error`"),
        ("raise ValueError, 'no'", "`raise X, message`"),
        ("x = `y`", "a repr in backticks"),
        ("x = a <> b", "`<>`"),
        ("x = 10L", "a long integer"),
        ("os.chmod(x, 0755)", "an octal number"),
        ("x = ur'a'", "a ur'...' string"),
        ("exec 'x = 1'", "an exec statement"),
        ("if x:\n\tif y:\n        z()\n", "an indentation that mixes tabs and spaces"),
        ("def f(a, (b, c)): pass", "a tuple among parameters"),
    ],
)
def test_what_in_a_line_is_python_2(line, what):
    try:
        compile(line, "s.py", "exec")
    except SyntaxError as error:
        assert f"s.py is written in Python 2: line {error.lineno} has {what}" in hints.hint(error)
    else:  # Python 3.14 reads `except A, B:` again
        assert sys.version_info >= (3, 14) and line.startswith("try")


@pytest.mark.parametrize("line", ["print(1 2)", "x = (1,", "print('print x' y)", "if x\n    pass", "x = 0.01 y"])
def test_other_mistakes_are_not_taken_for_python_2(line):
    with pytest.raises(SyntaxError) as raised:
        compile(line, "s.py", "exec")
    assert hints.hint(raised.value) is None


@pytest.mark.parametrize(
    "line, words",
    [
        ("xrange(3)", "range"),
        ("import cPickle", "pickle"),
        ("{}.iteritems()", "items"),
        ("import fluidlite\nfluidlite.init(use_gpu=False)", "before Fluid"),
    ],
)
def test_what_python_2_and_the_time_before_fluid_had_is_explained(line, words):
    with pytest.raises((NameError, ImportError, AttributeError)) as raised:
        exec(line, {})
    assert words in hints.hint(raised.value)


@pytest.mark.parametrize("module, package", [("six", "six"), ("cv2", "opencv-python-headless"), ("yaml", "pyyaml")])
def test_a_module_that_came_with_paddle_is_named_with_its_package(write, module, package):
    script = write("old.py", f"import sys\nsys.modules[{module!r}] = None  # as if it were not there\nimport {module}")
    ended = run(script.parent, script.name)
    assert ended.returncode == 1
    assert (
        f"fluidlite: {module} came along with Paddle, and does not with fluidlite: pip install {package}"
        in ended.stderr
    )
    assert "pip install 'fluidlite[era]'" in ended.stderr


def test_the_extra_era_has_every_package_that_is_named():
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"]["era"]}
    assert extra == set(hints._ERA.values())


def test_a_module_of_a_package_that_is_there_is_not_taken_for_a_missing_package():
    assert hints.hint(ModuleNotFoundError("No module named 'six.moves.no'", name="six.moves.no")) is None


@pytest.mark.parametrize(
    "line, words",
    [
        ("import paddle.v2.layer", "paddle.v2.layer belongs to the API that Paddle had before Fluid"),
        pytest.param(
            "from paddle.v2 import layer",
            "paddle.layer belongs to the API that Paddle had before Fluid",
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="ImportError does not name what is imported"),
        ),
    ],
)
def test_imports_of_the_time_before_fluid_are_explained(write, line, words):
    script = write("old.py", line)
    ended = run(script.parent, script.name)
    assert ended.returncode == 1 and words in ended.stderr


def test_what_is_wrong_with_the_command_is_said_in_a_line(write, capsys):
    folder = write("train.py", "").parent
    for arguments, words in (
        (["nothing.py"], "cannot read nothing.py"),
        ([str(folder)], "name a script in it"),
        ([str(folder / "train")], "train.py?"),
        ([], "name a script"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["run", *arguments])
        error = capsys.readouterr().err
        assert ended.value.code == 2 and words in error and error.count("\n") == 1


def test_a_missing_module_is_said_in_a_line(tmp_path):
    ended = run(tmp_path, "-m", "no_such.module")
    assert ended.returncode == 2
    assert ended.stderr == "python -m fluidlite run: there is no module no_such.module of Python code\n"


@pytest.fixture
def put_back():
    new = removed_names.put_back()
    yield [f"{module.__name__}.{name}" for module, name in new]
    removed_names.remove(new)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_that_numpy_and_pillow_removed_are_there_again(put_back):
    assert np.zeros(2, np.int).dtype == int and np.float is float and np.object is object
    assert Image.ANTIALIAS == Image.LANCZOS and Image.LINEAR == Image.BILINEAR
    assert "PIL.Image.ANTIALIAS" in put_back and "numpy.int" in put_back
    assert np.asscalar(np.ones(1)) == 1 and np.Inf == np.inf and np.alltrue([True])
    assert np.fromstring(b"\1\2", dtype="uint8").tolist() == [1, 2]
    assert np.fromstring("1 2", sep=" ").tolist() == [1.0, 2.0]
    assert np.random.random_integers(1, 1, 3).tolist() == [1, 1, 1]
    assert np.in1d([[1], [2]], [2]).tolist() == [False, True]
    assert np.trapz([1, 2]) == 1.5 and np.asfarray([1]).dtype == float
    import collections
    import inspect
    import time

    assert collections.Iterable is collections.abc.Iterable and time.clock() >= 0
    assert inspect.getargspec(lambda a, b=1: 0)[0] == ["a", "b"]


def test_what_still_exists_is_not_replaced():
    before = dict(vars(np))
    removed_names.remove(removed_names.put_back())
    assert {name: vars(np)[name] for name in before} == before and vars(np).keys() == before.keys()


def test_distutils_is_found_where_python_has_none():
    from importlib.util import module_from_spec

    modules = {}
    for name in ("distutils", "distutils.util"):
        spec = removed_names._distutils.find_spec(name)
        modules[name] = module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    strtobool = modules["distutils.util"].strtobool
    assert strtobool("True") == strtobool("yes") == 1 and strtobool("0") == 0
    with pytest.raises(ValueError):
        strtobool("perhaps")


def test_only_run_puts_names_back():
    for name, there in (("fluidlite", False), ("fluidlite.porting.removed_names", False)):
        ended = python(None, "-c", f"import {name}, numpy; print('int' in vars(numpy))")
        assert ended.stdout == f"{there}\n", ended.stderr


@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
def test_arrays_of_one_element_are_numbers_in_a_script():
    names = dict(one_element.NAMES, np=np)
    code = """
    one, two = np.ones((1, 1)), np.ones(2)
    text = "%d %.2f %s" % (3, one, one), "%f" % one, float(one), int(one), int("11", 2), "%s" % two
    """
    exec(one_element.compiled(textwrap.dedent(code), "s.py"), names)
    assert names["text"] == ("3 1.00 [[1.]]", "1.000000", 1.0, 1, 3, "[1. 1.]")
    for wrong in ("float(two)", "'%f' % two", "'%f' % 'a'", "'%d %d' % (1,)", "float(None)"):
        with pytest.raises(TypeError) as raised:
            exec(one_element.compiled(wrong, "s.py"), names)
        assert raised.value.__context__ is None


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_a_script_starts_know_paddle(write, method):
    code = f"""
    import multiprocessing
    import paddle, numpy
    import paddle.fluid as fluid

    def work(n):
        return n * 2, paddle.__name__, numpy.float is float

    if __name__ == "__main__":
        with multiprocessing.get_context("{method}").Pool(1) as pool:
            print(pool.map(work, [1]))
    """
    script = write("s.py", code)
    ended = run(script.parent, script)
    assert ended.stdout == "[(2, 'paddle', True)]\n", ended.stderr


def test_the_program_that_a_script_trains_is_found_without_training_it(write, capsys):
    script = write("train.py", DIGITS)
    before = sys.argv, list(sys.path), sys.modules["__main__"], dict(vars(np))
    found = program_of(str(script), ["--num_epochs", "1"])
    assert found.feeds == {"img": (64, 1, 28, 28), "label": (64, 1)}
    assert found.fetched == ["mean_0.tmp_0", "accuracy_0.tmp_0"]
    assert [op.type for op in found.program.global_block().ops][-1] == "adam"
    assert not (script.parent / "digits.inference.model").exists()
    after = sys.argv, list(sys.path), sys.modules["__main__"], dict(vars(np))
    assert before == after and "paddle" not in sys.modules


def test_a_script_that_runs_no_program_has_the_one_that_it_builds(write, capsys):
    script = write(
        "net.py", "import paddle.fluid as fluid\nfluid.layers.fc(fluid.data('x', [None, 3]), 2)\nprint('built')\n"
    )
    assert [op.type for op in program_of(str(script)).program.global_block().ops] == ["mul", "elementwise_add"]
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == "built\n"


def test_a_script_that_builds_nothing_has_none(write):
    assert program_of(str(write("empty.py", "import paddle\n"))) is None

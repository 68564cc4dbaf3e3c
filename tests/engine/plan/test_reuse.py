"""Plans for other batches use again what was bound for those before."""

import gc
import weakref

import numpy as np
import pytest

import fluidlite.fluid as fluid

LENGTHS = [(3, 4), (5, 6), (2, 1), (1, 5), (4, 4)]


class Net:
    """The squared sums of sequences, weighted, and SGD on the weights, beside the same in NumPy."""

    def __init__(self):
        rows = fluid.data("rows", [None, 3], "float32", lod_level=1)
        pooled = fluid.layers.sequence_pool(rows, "sum")
        out = fluid.layers.fc(pooled, 2, bias_attr=False, param_attr=fluid.ParamAttr(name="weight"))
        self.loss = fluid.layers.mean(out * out)
        fluid.optimizer.SGD(0.01).minimize(self.loss)
        self.exe, self.rng = fluid.Executor(fluid.CPUPlace()), np.random.RandomState(0)
        self.exe.run(fluid.default_startup_program())
        self.set_weight(self.rng.rand(3, 2).astype("float32"))

    @property
    def tensor(self):
        return fluid.global_scope().find_var("weight").get_tensor()

    def set_weight(self, weight):
        self.weight = weight
        self.tensor.set(weight, fluid.CPUPlace())

    def step(self, lengths):
        rows = self.rng.rand(sum(lengths), 3).astype("float32")
        feed = fluid.create_lod_tensor(rows, [list(lengths)], fluid.CPUPlace())
        (loss,) = self.exe.run(feed={"rows": feed}, fetch_list=[self.loss])
        pooled = np.stack([part.sum(axis=0) for part in np.split(rows, np.cumsum(lengths)[:-1])])
        out = pooled @ self.weight
        np.testing.assert_allclose(loss, [(out**2).mean()], rtol=1e-5)
        self.weight = self.weight - 0.01 * pooled.T @ (2 * out / out.size)
        np.testing.assert_allclose(np.array(self.tensor), self.weight, rtol=1e-5)

    def functions(self, type):
        """The bound functions of an operator type, of each plan of the network."""
        return [
            function
            for plan in self.exe._plans.values()
            for tasks in plan.phases
            for task in tasks
            for function, op in zip(task.steps, task.ops, strict=True)
            if op is not None and op.type == type
        ]


@pytest.fixture
def net(monkeypatch):
    monkeypatch.setenv("FLUIDLITE_SHARDS", "1")
    return Net()


def test_what_is_behind_a_pooling_is_bound_once(net):
    for lengths in LENGTHS:
        net.step(lengths)
    for type in ("mul", "mul_grad", "mean", "sgd"):
        # The first plan, and the one for the largest batch, are laid out in a way of their own.
        found = net.functions(type)
        assert len(found) == len(LENGTHS), type
        assert len(set(map(id, found[1:]))) == 1, type
    assert len(set(map(id, net.functions("sequence_pool")))) == len(LENGTHS)


def test_a_parameter_that_is_set_is_read_by_all_plans(net):
    for lengths in (*LENGTHS, *LENGTHS):
        net.set_weight(net.rng.rand(3, 2).astype("float32"))
        net.step(lengths)


def test_a_parameter_whose_array_is_another_one_is_read_by_all_plans(net):
    for lengths in (*LENGTHS, *LENGTHS):
        net.tensor.array = np.array(net.weight)
        net.step(lengths)


def test_batches_of_growing_sizes_are_laid_out_anew(net):
    for count in (1, 2, 30, 3, 500, 2, 40):
        net.step((count, count + 1))


def test_other_programs_of_an_executor_do_not_disturb(net):
    other = fluid.Program()
    with fluid.program_guard(other), fluid.unique_name.guard():
        x = fluid.data("x", [None, 1000])
        total = fluid.layers.reduce_sum(fluid.layers.exp(x) * x)
    for number, lengths in enumerate(LENGTHS):
        net.step(lengths)
        x = np.ones((10 ** (number % 3), 1000), "float32")
        np.testing.assert_allclose(net.exe.run(other, {"x": x}, [total])[0], [np.e * x.size], rtol=1e-5)


def test_memory_that_is_given_up_is_not_kept(net):
    for lengths in LENGTHS:
        net.step(lengths)
    memory = net.exe._memory
    held = [weakref.ref(chunk.base) for pool in memory._pools for chunk in pool.chunks if chunk.base is not None]
    memory.clear()
    gc.collect()
    assert held and [one for one in held if one() is not None] == []
    for lengths in LENGTHS:
        net.step(lengths)

"""A critic that is trained with a gradient penalty (Gulrajani et al., https://arxiv.org/abs/1704.00028).

Runs under Python 3.7 with the real Paddle (tools/oracle/record_gradient_penalty.py) and on fluidlite
(tests/ops/test_second_gradients.py), so only NumPy is imported and only Fluid 1.8's own names are used.
"""

import numpy as np

STEPS = 30


def train(fluid):
    """Train for some steps.

    Returns:
        (the penalty at each step, the backward operators: each as [type, inputs, outputs])
    """
    layers, numbers = fluid.layers, np.random.RandomState(0)
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    with fluid.program_guard(main, startup), fluid.unique_name.guard(), fluid.scope_guard(scope):

        def criticize(image):
            hidden = layers.leaky_relu(layers.conv2d(image, 3, 3, param_attr="c", bias_attr=False), 0.2)
            return layers.fc(hidden, 1, param_attr="f", bias_attr=False)

        real, fake = (fluid.data(name, [None, 1, 6, 6], "float32") for name in ("real", "fake"))
        share = fluid.data("share", [None, 1], "float32")
        mix = layers.elementwise_add(
            layers.elementwise_mul(real, share, axis=0), layers.elementwise_mul(fake, 1.0 - share, axis=0)
        )
        mix.stop_gradient = False
        slope = fluid.gradients(criticize(mix), mix)[0]
        norm = layers.sqrt(layers.reduce_sum(layers.square(layers.reshape(slope, [-1, 36])), dim=1) + 1e-12)
        penalty = layers.reduce_mean(layers.square(norm - 1.0))
        loss = layers.reduce_mean(criticize(fake)) - layers.reduce_mean(criticize(real)) + 10.0 * penalty
        fluid.optimizer.SGD(1e-3).minimize(loss, parameter_list=["c", "f"])
        exe = fluid.Executor(fluid.CPUPlace())
        exe.run(startup)
        for name in ("c", "f"):
            tensor = scope.find_var(name).get_tensor()
            tensor.set(numbers.uniform(-0.5, 0.5, np.array(tensor).shape).astype("float32"), fluid.CPUPlace())
        feed = {name: numbers.rand(4, 1, 6, 6).astype("float32") for name in ("real", "fake")}
        feed["share"] = numbers.rand(4, 1).astype("float32")
        found = [float(exe.run(main, feed=feed, fetch_list=[penalty])[0].item()) for _ in range(STEPS)]
    return found, [described(op) for op in main.global_block().ops if "grad" in op.type or op.type == "sum"]


def described(op):
    slots = [
        {name: found(name) for name in sorted(names) if found(name)}
        for names, found in ((op.input_names, op.input), (op.output_names, op.output))
    ]
    return [op.type] + slots

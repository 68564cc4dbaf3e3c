"""Trains a network with dropout and batch normalisation for some epochs; run by test_io.py in processes of its own.

python resume.py FIRST_EPOCH LAST_EPOCH LOAD_FROM|- SAVE_TO
"""

import random
import sys

import numpy as np

import fluidlite as paddle
import fluidlite.fluid as fluid
from fluidlite.dataset import digits


def main(first, last, source, target):
    fluid.default_startup_program().random_seed = 5
    fluid.default_main_program().random_seed = 5
    img = fluid.data("img", [None, 1, 28, 28])
    label = fluid.data("label", [None, 1], "int64")
    hidden = fluid.nets.simple_img_conv_pool(img, 4, 5, 2, 2, act="relu")
    hidden = fluid.layers.dropout(fluid.layers.batch_norm(hidden), 0.3)
    prediction = fluid.layers.fc(hidden, 10, act="softmax")
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    fluid.optimizer.Adam(0.001).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    feeder = fluid.DataFeeder([img, label], fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    if source != "-":
        fluid.io.load_persistables(exe, source)
    reader = paddle.batch(paddle.reader.shuffle(digits.train(size=600), 200), 64)
    for epoch in range(first, last):
        random.seed(epoch)
        for batch in reader():
            exe.run(feed=feeder.feed(batch), fetch_list=[loss])
    fluid.io.save_persistables(exe, target)
    scope = fluid.global_scope()
    names = [v.name for v in fluid.default_main_program().list_vars() if v.persistable]
    values = {name: np.array(scope.find_var(name).get_tensor()) for name in names}
    np.savez(target + ".npz", **values)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])

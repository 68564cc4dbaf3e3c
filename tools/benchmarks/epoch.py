"""The Fluid tutorial in one script: read MNIST, train the convolutional network for PASSES epochs (1), test.

bench.py --epoch runs it on fluidlite, which then answers to the name `paddle`, and on the real Paddle 1.8.5.
"""

import os
import time

import nets
import numpy
import paddle
import paddle.fluid as fluid

place = fluid.CPUPlace()
program, [loss, accuracy] = nets.build(fluid, "cnn", train=True)
test_program = program.clone(for_test=True)
image, label = (program.global_block().var(name) for name in ("image", "label"))
feeder = fluid.DataFeeder(feed_list=[image, label], place=place)
train_reader = paddle.batch(paddle.reader.shuffle(paddle.dataset.mnist.train(), buf_size=500), batch_size=64)
test_reader = paddle.batch(paddle.dataset.mnist.test(), batch_size=64)

exe = fluid.Executor(place)
exe.run(fluid.default_startup_program())
for number_of_pass in range(int(os.environ.get("PASSES", 1))):
    start = time.time()
    for number, samples in enumerate(train_reader()):
        values = exe.run(program, feed=feeder.feed(samples), fetch_list=[loss, accuracy])
        if number % 100 == 0:
            print("batch %d, cost %f" % (number, values[0]))
    print("pass %d: %.3f s" % (number_of_pass, time.time() - start))

results = [exe.run(test_program, feed=feeder.feed(samples), fetch_list=[accuracy]) for samples in test_reader()]
print("test accuracy %.4f" % numpy.mean([float(value[0]) for value in results]))

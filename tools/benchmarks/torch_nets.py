"""The networks of nets.py as a PyTorch user would write them: from an image to logits."""

import json
import os
import tempfile

import torch
from nets import NETS, RESNET50_STAGES, VGG_GROUPS
from torch import nn


def softmax():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(20),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 10),
    )


def mxnet_mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def mxnet_lenet():
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.Tanh(),
        nn.Linear(500, 10),
    )


def torch_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 10, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(27 * 27 * 10, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def torch_lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


def vgg16():
    layers, channels = [], 3
    for filters, dropouts in VGG_GROUPS:
        for dropout in dropouts:
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            channels = filters
        layers += [nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(512, 512), nn.Linear(512, 10))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1),
            nn.BatchNorm2d(filters),
        )
        self.shortcut = nn.Identity()
        if channels != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        return nn.functional.relu(self.branch(x) + self.shortcut(x))


def resnet32():
    layers, channels = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for filters, first_stride in (16, 1), (32, 2), (64, 2):
        for stride in [first_stride, 1, 1, 1, 1]:
            layers.append(Residual(channels, filters, stride))
            channels = filters
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))


class Bottleneck(nn.Module):
    """Three convolutions, of which the middle one sees neighbours, beside a shortcut."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, 4 * filters, 1, bias=False),
            nn.BatchNorm2d(4 * filters),
        )
        self.shortcut = nn.Identity()
        if channels != 4 * filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, 4 * filters, 1, stride, bias=False), nn.BatchNorm2d(4 * filters)
            )

    def forward(self, x):
        return nn.functional.relu(self.branch(x) + self.shortcut(x))


def resnet50():
    layers, channels = [nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    layers += [nn.MaxPool2d(3, 2, padding=1)]
    for filters, blocks, first_stride in RESNET50_STAGES:
        for stride in [first_stride] + [1] * (blocks - 1):
            layers.append(Bottleneck(channels, filters, stride))
            channels = 4 * filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


MODULES = {
    "cnn": cnn,
    "cnn256": cnn,
    "mlp": mlp,
    "softmax": softmax,
    "mxnet_mlp": mxnet_mlp,
    "mxnet_lenet": mxnet_lenet,
    "torch_cnn": torch_cnn,
    "torch_lenet5": torch_lenet5,
    "vgg16": vgg16,
    "resnet32": resnet32,
    "resnet50": resnet50,
}


def stepper(net, train, compiled):
    """A function that takes NumPy images and labels through one step.

    Args:
        net (str): a key of MODULES.
        train (bool): forward, backward and update, or forward alone.
        compiled (bool): by `torch.compile`, or eager.
    Returns:
        a function (images, labels) -> the loss and the accuracy, or the logits as an array.
    """
    model = MODULES[net]().train(train)
    if not train:

        def predict(images):
            with torch.no_grad():
                return model(images)

        predict = torch.compile(predict) if compiled else predict
        return lambda images, labels: predict(torch.from_numpy(images)).numpy()

    wanted = NETS[net].optimizer
    if wanted.kind == "Adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=wanted.learning_rate)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=wanted.learning_rate, momentum=wanted.momentum or 0)

    def update(images, labels):
        optimizer.zero_grad()
        logits = model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        return loss, (logits.argmax(1) == labels).float().mean()

    update = torch.compile(update) if compiled else update

    def step(images, labels):
        loss, accuracy = update(torch.from_numpy(images), torch.from_numpy(labels).flatten())
        return loss.item(), accuracy.item()

    return step


# Networks whose convolutions repay it when tensor cores compute them; PyTorch's guide to performance says so.
CHANNELS_LAST = {"resnet50"}


class Steps:
    """The steps of a network on a GPU, as PyTorch's guides to performance would have them.

    * Data comes from NumPy arrays by way of page-locked memory, which is made once, in copies that wait for nothing.
    * Optimizers are fused.  With compiled="model", torch.compile takes the forward pass with the loss, and with it the
      backward pass; with "step" the optimizer, too, in the form that CUDA graphs can hold.  Either may be the faster.
    * cuDNN tries its algorithms (`cudnn.benchmark`), for shapes never change.
    * ResNet-50 has its channels last if TF32 is on: tensor cores want it so.
    * TF32 is on, or off, in matrix products and convolutions alike; PyTorch's default is on in convolutions alone.

    Args:
        net (str): a key of MODULES.
        train (bool): forward, backward and update, or forward alone.
        compiled (str): None for eager, "model" or "step", with mode="reduce-overhead": CUDA graphs.
        tf32 (bool): whether products of float32 may round their factors.
        device (str): "cuda", or "cpu" to try all this without one.
    """

    def __init__(self, net, train, compiled=None, tf32=False, device="cuda"):
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        self.version = torch.__version__
        self._device = torch.device(device)
        self._gpu = self._device.type == "cuda"
        if self._gpu:
            torch.zeros(1, device=self._device)
            self._free = torch.cuda.mem_get_info()[0]
        self._compiled = compiled
        self._train = train
        self._memory_format = torch.channels_last if tf32 and net in CHANNELS_LAST else torch.contiguous_format
        self._model = MODULES[net]().train(train).to(self._device, memory_format=self._memory_format)
        self._run = self._training(NETS[net].optimizer) if train else self._prediction()
        self._page_locked = None

    def _maybe_compiled(self, function, when):
        return torch.compile(function, mode="reduce-overhead") if self._compiled in when else function

    def _prediction(self):
        def predict(images, labels):
            with torch.no_grad():
                return self._model(images)

        return self._maybe_compiled(predict, ("model", "step"))

    def _training(self, wanted):
        whole = self._compiled == "step"
        options = {} if whole else {"fused": True}
        if wanted.kind == "Adam":
            if whole and self._gpu:
                options["capturable"] = True
            optimizer = torch.optim.Adam(self._model.parameters(), lr=wanted.learning_rate, **options)
        else:
            options["momentum"] = wanted.momentum or 0
            optimizer = torch.optim.SGD(self._model.parameters(), lr=wanted.learning_rate, **options)

        def forward(images, labels):
            return nn.functional.cross_entropy(self._model(images), labels)

        forward = self._maybe_compiled(forward, ["model"])

        def update(images, labels):
            loss = forward(images, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return self._maybe_compiled(update, ["step"])

    def put(self, images, labels):
        """NumPy images and labels as what `on_device` takes."""
        arrays = [images, labels]
        if self._page_locked is None:
            kept = [torch.from_numpy(array) for array in arrays]
            self._page_locked = [torch.empty_like(array, pin_memory=self._gpu) for array in kept]
        moved = []
        for buffer, array in zip(self._page_locked, arrays, strict=True):
            buffer.copy_(torch.from_numpy(array))
            moved.append(buffer.to(self._device, non_blocking=True))
        images, labels = moved
        return images.contiguous(memory_format=self._memory_format), labels.flatten()

    def on_device(self, images, labels):
        """One step, whose result stays on the device: the loss, or the logits."""
        if self._compiled:
            torch.compiler.cudagraph_mark_step_begin()
        return self._run(images, labels)

    def fed(self, images, labels):
        """One step from NumPy arrays to the loss as a number, or the logits as an array."""
        result = self.on_device(*self.put(images, labels))
        return result.item() if self._train else result.cpu().numpy()

    def settle(self):
        """Wait until the device has done all that it was asked for."""
        if self._gpu:
            torch.cuda.synchronize()

    def forget_peak(self):
        """Let `memory` tell of what comes from now on."""
        if self._gpu:
            torch.cuda.reset_peak_memory_stats()

    def memory(self):
        """Bytes on the device (dict): `used` and `held` are the most that arrays took, and that the allocator kept."""
        if not self._gpu:
            return {}
        return {
            "used_bytes": torch.cuda.max_memory_allocated(),
            "held_bytes": torch.cuda.max_memory_reserved(),
            "grown_bytes": self._free - torch.cuda.mem_get_info()[0],
        }

    def launches(self, step, count=5):
        """Kernels and copies on the device per call of `step`, as PyTorch's profiler counts them."""
        activity = torch.profiler.ProfilerActivity
        with torch.profiler.profile(activities=[activity.CUDA if self._gpu else activity.CPU]) as profile:
            for _ in range(count):
                step()
            self.settle()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            profile.export_chrome_trace(path)
            with open(path, encoding="utf-8") as file:
                events = json.load(file)["traceEvents"]
        return sum(event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset") for event in events) / count

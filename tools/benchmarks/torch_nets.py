"""The networks of nets.py as a PyTorch user would write them: from an image to logits."""

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

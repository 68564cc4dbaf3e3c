"""What `dataset.image` makes of some pictures, small enough for JSON. It runs under Python 3.7 as well."""

import os
import tempfile

import archives
import numpy as np

SIZES = [(13, 9, 6), (7, 9, 12), (8, 8, 8), (40, 31, 7), (3, 4, 16)]


def transformed(image):
    """The pictures as nested lists, by name; `image` is paddle.dataset.image or fluidlite.dataset.image."""
    noise = np.random.RandomState(6).randint(0, 256, (11, 14, 3)).astype(np.uint8)
    found = {
        "png": image.load_image_bytes(archives.png(noise)),
        "png grey": image.load_image_bytes(archives.png(noise), is_color=False),
        "grey png": image.load_image_bytes(archives.png(noise[..., 0])),
        "png with alpha": image.load_image_bytes(archives.png(np.dstack([noise, noise[..., 0]]))),
        "jpeg": image.load_image_bytes(archives.jpeg(1, 20, 12)),
        "jpeg grey": image.load_image_bytes(archives.jpeg(1, 20, 12), is_color=False),
    }
    rng = np.random.RandomState(7)
    for height, width, size in SIZES:
        colours = rng.randint(0, 256, (height, width, 3)).astype(np.uint8)
        found["resized %d %d %d" % (height, width, size)] = image.resize_short(colours, size)
        greys = rng.rand(height, width).astype(np.float32)
        found["resized float %d %d %d" % (height, width, size)] = image.resize_short(greys, size)
    found["centre"] = image.center_crop(noise, 4)
    found["centre grey"] = image.center_crop(noise[..., 0], 5, is_color=False)
    found["flipped"] = image.left_right_flip(noise)
    found["chw"] = image.to_chw(noise)
    np.random.seed(0)
    found["random"] = image.random_crop(noise, 6)
    found["simple test"] = image.simple_transform(noise, 8, 6, False, mean=[1.0, 2.0, 3.0])
    for turn in range(3):
        found["simple train %d" % turn] = image.simple_transform(noise, 8, 6, True)
    mean = np.arange(108, dtype=np.float32).reshape(3, 6, 6)
    found["simple mean"] = image.simple_transform(noise, 8, 6, False, mean=mean)
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "picture.png")
    with open(path, "wb") as file:
        file.write(archives.png(noise))
    found["from file"] = image.load_and_transform(path, 8, 6, False, mean=[1.0, 2.0, 3.0])
    found["from file grey"] = image.load_and_transform(path, 8, 6, False, is_color=False)
    return {name: [array.dtype.str, list(array.shape), _values(array)] for name, array in found.items()}


def _values(array):
    return [round(value, 5) for value in array.ravel().tolist()]

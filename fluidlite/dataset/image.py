"""Pictures for networks: read, resized, cropped, flipped and laid out as channels, rows and columns.

Pictures are arrays of rows, columns and, in colour, blue, green and red, as OpenCV has them and Paddle's networks
expect. Reading is Pillow's work: PNG is read exactly as by OpenCV, JPEG up to the rounding of its decoder.
"""

import functools
import io
import os
import pickle
from pathlib import Path

import numpy as np

from .archives import tar_members

__all__ = [
    "batch_images_from_tar", "center_crop", "left_right_flip", "load_and_transform", "load_image", "load_image_bytes",
    "random_crop", "resize_short", "simple_transform", "to_chw",
]  # fmt: skip

_LUMINANCE = np.array([9798, 19235, 3735])  # of red, green and blue, as libpng has them, which rounds down
_LUMINANCE_BITS = 15
_STEEPNESS = -0.75  # of OpenCV's cubic kernel
_FRACTION_BITS = 11  # OpenCV resizes uint8 with coefficients in units of 1 / 2048


def load_image_bytes(bytes, is_color=True):
    """Return the picture that the bytes of a file hold.

    Args:
        bytes (bytes): content of a file of any format that Pillow reads.
        is_color (bool): in colour, otherwise grey.

    Returns:
        uint8 array of shape (height, width, 3), blue first, or (height, width).

    Raises:
        OSError: it is no picture.
    """
    return _read(io.BytesIO(bytes), is_color)


def load_image(file, is_color=True):
    """Return the picture in a file.

    Args:
        file (str): its path.
        is_color (bool): in colour, otherwise grey.

    Returns:
        uint8 array of shape (height, width, 3), blue first, or (height, width).

    Raises:
        OSError: there is no such file, or it holds no picture. (Paddle returns None.)
    """
    return _read(file, is_color)


def resize_short(im, size):
    """Resize a picture so that its shorter side is ``size`` pixels long, as OpenCV's INTER_CUBIC does.

    Args:
        im: array of shape (height, width) or (height, width, channels), uint8 or float.
        size (int): the shorter side.

    Returns:
        An array of the same data type; uint8 ones within 1 of OpenCV's.
    """
    height, width = im.shape[:2]
    if height > width:
        return _resize(im, size * height // width, size)
    return _resize(im, size, size * width // height)


def to_chw(im, order=(2, 0, 1)):
    """Transpose a picture, by default from (height, width, channels) to (channels, height, width).

    Args:
        im: array with as many dimensions as ``order`` has.
        order (tuple of int): the new order of the dimensions.

    Raises:
        ValueError: the numbers of dimensions differ.
    """
    if im.ndim != len(order):
        raise ValueError(f"to_chw: a picture of shape {im.shape} has not the {len(order)} dimensions of order={order}")
    return im.transpose(order)


def center_crop(im, size, is_color=True):
    """Return the square of ``size`` x ``size`` pixels in the middle of a picture.

    Args:
        im: array of shape (height, width, channels) or, if not ``is_color``, (height, width).
        size (int): the square's side, at most the picture's shorter one.
        is_color (bool): whether there are channels.
    """
    height, width = im.shape[:2]
    return _crop(im, (height - size) // 2, (width - size) // 2, size)


def random_crop(im, size, is_color=True):
    """Return a square of ``size`` x ``size`` pixels, drawn with NumPy's global random numbers.

    Args:
        im: array of shape (height, width, channels) or, if not ``is_color``, (height, width).
        size (int): the square's side, at most the picture's shorter one.
        is_color (bool): whether there are channels.
    """
    height, width = im.shape[:2]
    top = np.random.randint(0, height - size + 1)
    left = np.random.randint(0, width - size + 1)
    return _crop(im, top, left, size)


def left_right_flip(im, is_color=True):
    """Return the mirror image.

    Args:
        im: array of shape (height, width, channels) or (height, width).
        is_color (bool): whether there are channels; the array's own dimensions count.
    """
    return im[:, ::-1]


def simple_transform(im, resize_size, crop_size, is_train, is_color=True, mean=None):
    """Resize and crop a picture; for training the crop is a random one, and half of the pictures are mirrored.

    Args:
        im: uint8 array of shape (height, width, channels) or (height, width).
        resize_size (int): the shorter side after resizing.
        crop_size (int): the side of the square to crop.
        is_train (bool): crop at random and mirror at random, with NumPy's global random numbers; otherwise crop the
            middle.
        is_color (bool): whether the picture is in colour.
        mean: what to subtract: a number per channel, or an array of the result's shape.

    Returns:
        float32 array of shape (channels, crop_size, crop_size), or (crop_size, crop_size) for a grey picture.
    """
    im = resize_short(im, resize_size)
    if is_train:
        im = random_crop(im, crop_size, is_color=is_color)
        if np.random.randint(2) == 0:
            im = left_right_flip(im, is_color)
    else:
        im = center_crop(im, crop_size, is_color=is_color)
    if im.ndim == 3:
        im = to_chw(im)
    im = im.astype("float32")
    if mean is not None:
        mean = np.array(mean, np.float32)
        im -= mean[:, None, None] if mean.ndim == 1 and is_color else mean
    return im


def load_and_transform(filename, resize_size, crop_size, is_train, is_color=True, mean=None):
    """Return the picture in a file, transformed; see :func:`load_image` and :func:`simple_transform`."""
    return simple_transform(load_image(filename, is_color), resize_size, crop_size, is_train, is_color, mean)


def batch_images_from_tar(data_file, dataset_name, img2label, num_per_batch=1024):
    """Put the pictures of a tar archive, undecoded, and their labels into pickles, unless that is done already.

    Args:
        data_file (str): the archive; the pickles go into a folder beside it.
        dataset_name (str): name of a folder in that folder.
        img2label (dict): name of a member -> label; other members are left out.
        num_per_batch (int): pictures in a pickle. It is a dict of ``"data"`` (list of bytes) and ``"label"`` (list).

    Returns:
        Path of a text file (str) with the path of a pickle in each line.
    """
    folder = Path(f"{data_file}_batch") / dataset_name
    index = folder.with_name(f"{dataset_name}.txt")
    if index.exists():
        return str(index)
    folder.mkdir(parents=True, exist_ok=True)
    pickles, names, pictures = [], [], []

    def write():
        pickles.append(os.path.abspath(folder / f"batch_{len(pickles)}"))
        with open(pickles[-1], "wb") as file:
            pickle.dump({"label": [img2label[name] for name in names], "data": pictures}, file, protocol=2)
        names.clear()
        pictures.clear()

    for name, member in tar_members(data_file, img2label.__contains__):
        names.append(name)
        pictures.append(member.read())
        if len(pictures) == num_per_batch:
            write()
    if pictures:
        write()
    index.write_text("".join(f"{path}\n" for path in pickles))
    return str(index)


def _read(file, is_color):
    from PIL import Image, ImageOps  # here, because importing Pillow takes long

    with Image.open(file) as picture:
        if not is_color:
            picture.draft("L", picture.size)  # a JPEG has its greys beside its colours
        picture = ImageOps.exif_transpose(picture)
        if not is_color and picture.mode == "L":
            return np.array(picture)
        pixels = np.asarray(picture.convert("RGB"))
    if is_color:
        return np.ascontiguousarray(pixels[..., ::-1])
    return (pixels @ _LUMINANCE >> _LUMINANCE_BITS).astype(np.uint8)


def _crop(im, top, left, size):
    return im[top : top + size, left : left + size]


def _resize(im, height, width):
    """Interpolate with cubic kernels, first along rows, then along columns, as OpenCV does."""
    exact = im.dtype == np.uint8
    columns, across = _taps(im.shape[1], width, exact)
    rows, down = _taps(im.shape[0], height, exact)
    channels = (1,) * (im.ndim - 2)
    across, down = across.reshape(4, 1, -1, *channels), down.reshape(4, -1, 1, *channels)
    values = im.astype(across.dtype)
    values = sum(values[:, columns[tap]] * across[tap] for tap in range(4))
    values = sum(values[rows[tap]] * down[tap] for tap in range(4))
    if not exact:
        return values.astype(im.dtype)
    bits = 2 * _FRACTION_BITS
    return ((values + (1 << bits - 1)) >> bits).clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=32)
def _taps(old, new, exact):
    """Return which four of ``old`` pixels make each of ``new`` ones, and with what coefficients: each (4, new)."""
    scale = np.float64(old) / new
    place = ((np.arange(new) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    t = place - first.astype(np.float32)
    a = np.float32(_STEEPNESS)
    outer = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    inner = ((a + 2) * t - (a + 3)) * t * t + 1
    other = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1
    coefficients = np.stack([outer, inner, other, 1 - outer - inner - other])
    if exact:
        coefficients = np.rint(coefficients * (1 << _FRACTION_BITS)).astype(np.int32)
    # Beyond the border lies the outermost pixel again.
    return (first + np.arange(-1, 3)[:, None]).clip(0, old - 1), coefficients

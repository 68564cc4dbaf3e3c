"""PASCAL VOC 2012: 2,913 photographs with the class of every pixel.

Everingham and others, The PASCAL visual object classes challenge, 2010. The archive lies under the data home as
``voc2012/VOCtrainval_11-May-2012.tar``. Paddle's own readers fail on Python 3; these yield what they do on Python 2.
"""

import io

import numpy as np

from . import common
from .archives import tar_contents

__all__ = ["test", "train", "val"]

VOC_URL = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
VOC_MD5 = "6cd6e144f989b92b3379bac3b3de84fd"
_OTHER_MIRROR = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
SET_FILE = "VOCdevkit/VOC2012/ImageSets/Segmentation/{}.txt"
DATA_FILE = "VOCdevkit/VOC2012/JPEGImages/{}.jpg"
LABEL_FILE = "VOCdevkit/VOC2012/SegmentationClass/{}.png"
CACHE_DIR = "voc2012"


def train():
    """Return a reader of all 2,913 photographs.

    Returns:
        A reader of (uint8 array of shape (height, width, 3): red, green, blue; uint8 array of shape (height, width):
        0 background, 1 to 20 the class, 255 undecided).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(_archive(), "trainval")


def test():
    """Return a reader of the 1,464 photographs of the challenge's training set; see :func:`train`."""
    return reader_creator(_archive(), "train")


def val():
    """Return a reader of the 1,449 photographs of the challenge's validation set; see :func:`train`."""
    return reader_creator(_archive(), "val")


def fetch():
    """Download the archive if it is not there yet."""
    _archive()


def reader_creator(filename, sub_name):
    """Return a reader of the photographs that a list in the archive names.

    Args:
        filename (str): the archive.
        sub_name (str): ``trainval``, ``train`` or ``val``.

    Returns:
        A reader as :func:`train` returns.
    """

    def reader():
        from PIL import Image  # here, because importing Pillow takes long

        with tar_contents(filename) as content:
            for name in content(SET_FILE.format(sub_name)).decode().split():
                pictures = (io.BytesIO(content(form.format(name))) for form in (DATA_FILE, LABEL_FILE))
                yield tuple(np.array(Image.open(picture)) for picture in pictures)

    return reader


def _archive():
    return common.download([VOC_URL, _OTHER_MIRROR], CACHE_DIR, VOC_MD5)

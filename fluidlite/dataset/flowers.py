"""Oxford flowers: 8,189 photographs of flowers of 102 kinds.

Nilsback and Zisserman, Automated flower classification over a large number of classes, 2008. The files lie under the
data home as ``flowers/102flowers.tgz``, ``flowers/imagelabels.mat`` and ``flowers/setid.mat``.
"""

import functools
import os

from ..reader import map_readers, xmap_readers
from . import common
from .archives import tar_members
from .image import load_image_bytes, simple_transform
from .matlab import load_matrices

__all__ = ["test", "train", "valid"]

_PLACE = "http://paddlemodels.bj.bcebos.com/flowers/"
DATA_URL = _PLACE + "102flowers.tgz"
LABEL_URL = _PLACE + "imagelabels.mat"
SETID_URL = _PLACE + "setid.mat"
DATA_MD5 = "52808999861908f626f3c1f4e79d11fa"
LABEL_MD5 = "e0620be6f572b9609742df49c70aed4d"
SETID_MD5 = "a5357ecc9cb78c4bef273ce3793fc85c"
_AUTHORS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"

# The authors' test set is the largest part, so as in Paddle it serves for training, and their training set for testing.
TRAIN_FLAG = "tstid"
TEST_FLAG = "trnid"
VALID_FLAG = "valid"

_MEAN = (103.94, 116.78, 123.68)  # of blue, green and red


def default_mapper(is_train, sample):
    """Return a photograph as numbers: see :func:`train`.

    Args:
        is_train (bool): crop and mirror at random.
        sample: (bytes of a JPEG, label).
    """
    picture, label = sample
    return simple_transform(load_image_bytes(picture), 256, 224, is_train, mean=_MEAN).flatten(), label


train_mapper = functools.partial(default_mapper, True)
test_mapper = functools.partial(default_mapper, False)


def train(mapper=train_mapper, buffered_size=1024, use_xmap=True, cycle=False):
    """Return a reader of 6,149 photographs to train on.

    Args:
        mapper: called with (bytes of a JPEG, int label from 0 to 101); the reader yields what it returns. The default
            resizes to 256 pixels, crops 224x224 of them at random, mirrors at random and subtracts the mean colour.
        buffered_size (int): photographs prepared ahead.
        use_xmap (bool): prepare them in background threads; their order stays (in Paddle it does not).
        cycle (bool): begin again at the end, without end.

    Returns:
        A reader of (float32 array of shape (150528,): blue, then green, then red; int from 0 to 101).

    Raises:
        fluidlite.dataset.DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(*_files(), TRAIN_FLAG, mapper, buffered_size, use_xmap, cycle=cycle)


def test(mapper=test_mapper, buffered_size=1024, use_xmap=True, cycle=False):
    """Return a reader of 1,020 photographs to test with, by default their middles; see :func:`train`."""
    return reader_creator(*_files(), TEST_FLAG, mapper, buffered_size, use_xmap, cycle=cycle)


def valid(mapper=test_mapper, buffered_size=1024, use_xmap=True):
    """Return a reader of 1,020 photographs to validate with, by default their middles; see :func:`train`."""
    return reader_creator(*_files(), VALID_FLAG, mapper, buffered_size, use_xmap)


def fetch():
    """Download the three files if they are not there yet."""
    _files()


def reader_creator(
    data_file, label_file, setid_file, dataset_name, mapper, buffered_size=1024, use_xmap=True, cycle=False
):
    """Return a reader of the photographs in one of the three parts.

    Args:
        data_file (str): the archive of photographs.
        label_file (str): the MATLAB file with ``labels``, from 1.
        setid_file (str): the MATLAB file with the numbers of the photographs of each part, from 1.
        dataset_name (str): ``tstid``, ``trnid`` or ``valid``.
        mapper, buffered_size, use_xmap, cycle: as of :func:`train`.
    """
    labels = load_matrices(label_file)["labels"].ravel()
    numbers = load_matrices(setid_file)[dataset_name].ravel()
    label_of = {f"jpg/image_{number:05d}.jpg": int(labels[number - 1]) - 1 for number in numbers}

    def photographs():
        while True:
            for name, file in tar_members(data_file, label_of.__contains__):
                yield file.read(), label_of[name]
            if not cycle:
                return

    if use_xmap:
        return xmap_readers(mapper, photographs, min(4, os.cpu_count() or 1), buffered_size, order=True)
    return map_readers(mapper, photographs)


def _files():
    return tuple(
        common.download([url, _AUTHORS + url.rpartition("/")[2]], "flowers", md5sum)
        for url, md5sum in ((DATA_URL, DATA_MD5), (LABEL_URL, LABEL_MD5), (SETID_URL, SETID_MD5))
    )

"""Writes tiny data sets in the formats and under the names of the real archives.

It runs under Python 3.7 as well: tools/oracle/record_datasets.py records what the real Paddle makes of the same files.
"""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np


def write_all(home):
    """Write one archive of each data set into a data home."""
    for write in (cifar, conll05, flowers, imdb, imikolov, movielens, mq2007, sentiment, voc2012, wmt14, wmt16):
        write(str(home))


def cifar(home):
    rng = np.random.RandomState(1)

    def batch(labels, count, classes):
        pixels = rng.randint(0, 256, (count, 3072)).astype(np.uint8)
        numbers = [int(number) for number in rng.randint(0, classes, count)]
        return python_2_pickle({b"batch_label": b"made", labels: numbers, b"data": pixels})

    ten = [("data_batch_%d" % (i + 1), batch(b"labels", 2, 10)) for i in range(3)]
    ten += [("test_batch", batch(b"labels", 3, 10)), ("batches.meta", python_2_pickle({b"label_names": [b"cat"]}))]
    write_tar(home, "cifar/cifar-10-python.tar.gz", [("cifar-10-batches-py/" + name, data) for name, data in ten])
    hundred = [(name, batch(b"fine_labels", 2, 100)) for name in ("meta", "test", "train")]
    write_tar(home, "cifar/cifar-100-python.tar.gz", [("cifar-100-python/" + name, data) for name, data in hundred])


def conll05(home):
    sentences = [
        # Two verbs, a role of several words, a role of one, a verb at the start, a role that a continuation resumes.
        [
            ("Give", "give", "(V*)", "*"),
            ("me", "-", "(A2*)", "*"),
            ("the", "-", "(A1*", "(A0*"),
            ("book", "-", "*", "*)"),
            ("that", "-", "*", "(R-A0*)"),
            ("helped", "help", "*)", "(V*)"),
            (".", "-", "*", "*"),
        ],
        [("Nothing", "-"), ("here", "-")],
        [("caf\u00e9s", "-", "(A0*)"), ("unlisted", "-", "(AM-ADV*)"), ("close", "close", "(V*)")],
        [("go", "go", "(V*)")],
    ]
    words = "".join("".join(row[0] + "\n" for row in sentence) + "\n" for sentence in sentences)
    props = "".join("".join("   ".join(row[1:]) + "\n" for row in sentence) + "\n" for sentence in sentences)
    folder = "conll05st-release/test.wsj"
    members = [
        (folder + "/words/test.wsj.words.gz", gzip_of(words.encode("utf-8"))),
        (folder + "/props/test.wsj.props.gz", gzip_of(props.encode("utf-8"))),
    ]
    write_tar(home, "conll05st/conll05st-tests.tar.gz", members)
    listed = ["<unk>", "bos", "eos", "Give", "me", "the", "book", "that", "helped", ".", "close", "go"]
    write(home, "conll05st/conll05st%2FwordDict.txt", "".join(word + "\n" for word in listed).encode())
    write(home, "conll05st/conll05st%2FverbDict.txt", b"give\nhelp\nclose\n")
    roles = ["A0", "A1", "A2", "AM-ADV", "R-A0", "V"]
    labels = ["B-" + role for role in roles] + ["I-" + role for role in roles] + ["O"]
    write(home, "conll05st/conll05st%2FtargetDict.txt", "".join(label + "\n" for label in labels).encode())
    write(home, "conll05st/conll05st%2Femb", bytes(16) + np.ones((12, 32), "<f4").tobytes())


def flowers(home):
    members = [("jpg/image_%05d.jpg" % number, jpeg(number, 300 + 10 * number, 280)) for number in (3, 1, 2, 4, 5)]
    write_tar(home, "flowers/102flowers.tgz", members)
    write(home, "flowers/imagelabels.mat", matlab([("labels", np.array([[7, 102, 1, 7, 50]], np.uint8))], True))
    parts = [("trnid", [[3]]), ("valid", [[5]]), ("tstid", [[2, 1, 4]])]
    write(home, "flowers/setid.mat", matlab([(name, np.array(ids, np.uint16)) for name, ids in parts], False))


def imdb(home):
    reviews = [
        ("test/neg/0_2.txt", b"Bad, bad film!\n"),
        ("test/pos/0_9.txt", b"A good film<br /><br />really"),
        ("train/neg/0_1.txt", b"It's a bad, dull one.\r\n"),
        ("train/pos/0_8.txt", b"good good GOOD"),
        ("train/pos/1_10.txt", "Caf\u00e9 film".encode("utf-8")),
        ("train/unsup/0_0.txt", b"not read"),
        ("train/urls_pos.txt", b"http://not.read"),
    ]
    write_tar(home, "imdb/imdb%2FaclImdb_v1.tar.gz", [("aclImdb/" + name, text) for name, text in reviews])


def imikolov(home):
    texts = {
        "train": b" the cat sees the dog \n the <unk> sees \n\n",
        "valid": b" the dog sees \n a cat \n",
        "test": b" not read \n",
    }
    members = [("./simple-examples/data/ptb.%s.txt" % name, text) for name, text in texts.items()]
    write_tar(home, "imikolov/imikolov%2Fsimple-examples.tgz", members)


def movielens(home):
    movies = "1::Toy Story (1995)::Animation|Comedy\n2::Caf\u00e9 (III) (1990)::Drama\n7::Toy (1982)::Comedy\n"
    users = "1::F::1::10::48067\n2::M::56::16::70072\n5::M::25::0::55455\n"
    rng = np.random.RandomState(3)
    ratings = "".join(
        "%d::%d::%d::97830%04d\n" % (rng.choice([1, 2, 5]), rng.choice([1, 2, 7]), rng.randint(1, 6), time)
        for time in range(20)
    )
    texts = {"README": "made\n", "movies.dat": movies, "ratings.dat": ratings, "users.dat": users}
    members = [("ml-1m/" + name, text.encode("latin-1")) for name, text in texts.items()]
    write_zip(home, "movielens/movielens%2Fml-1m.zip", members)


def mq2007(home):
    """The archive is a stand-in; what it would hold is unpacked beside it."""
    rng = np.random.RandomState(4)

    def line(score, query, note):
        figures = " ".join("%d:%.6f" % (i + 1, value) for i, value in enumerate(rng.rand(46)))
        return "%d qid:%d %s #%s\n" % (score, query, figures, note)

    train = [(0, 10), (2, 10), (1, 10), (2, 10), (0, 11), (0, 11), (1, 12)]
    text = "".join(line(score, query, "docid = GX%d inc = 1 prob = 0.5" % query) for score, query in train)
    write(home, "MQ2007/MQ2007/MQ2007/Fold1/train.txt", text.encode())
    write(home, "MQ2007/MQ2007/MQ2007/Fold1/test.txt", (line(1, 3, "a") + line(0, 3, "b")).encode())
    write(home, "MQ2007/7b6dbbe2-842c-11e4-a536-bcaec51b9163_MQ2007.rar", b"Rar!\x1a\x07\x00")


def sentiment(home):
    reviews = {
        "neg/cv000_1.txt": "a dull , dull film .\nit's not good -- at all !\n",
        "neg/cv001_2.txt": "bad ( 1998 )\n",
        "pos/cv000_3.txt": "a good film .\n",
        "pos/cv001_4.txt": "good , good !\n\nmoving\n",
    }
    folders = [("movie_reviews/", b""), ("movie_reviews/neg/", b""), ("movie_reviews/pos/", b"")]
    members = [("movie_reviews/" + name, text.encode("ascii")) for name, text in reviews.items()]
    write_zip(home, "corpora/movie_reviews.zip", [*folders, ("movie_reviews/README", b"made"), *members])


def voc2012(home):
    from PIL import Image

    rng = np.random.RandomState(5)
    folder, members = "VOCdevkit/VOC2012/", []
    for name in ("2007_000001", "2008_000002"):
        classes = Image.fromarray(rng.choice([0, 1, 20, 255], (12, 16)).astype(np.uint8), mode="P")
        classes.putpalette([i // 3 for i in range(768)])
        members.append((folder + "JPEGImages/%s.jpg" % name, jpeg(len(members), 16, 12)))
        members.append((folder + "SegmentationClass/%s.png" % name, encoded(classes, "PNG")))
    for part, names in (("train", "2008_000002\n"), ("val", "2007_000001\n")):
        members.append((folder + "ImageSets/Segmentation/%s.txt" % part, names.encode()))
    members.append((folder + "ImageSets/Segmentation/trainval.txt", b"2007_000001\n2008_000002\n"))
    write_tar(home, "voc2012/VOCtrainval_11-May-2012.tar", members, compressed=False)


def wmt14(home):
    long = " ".join(["en1"] * 79)
    train = (
        "en0 en1 rare\td\u00fc0 d\u00fc1\n%s\td\u00fc0\nno translation\nen1\tx\ty\n\td\u00fc1\n en1 \t d\u00fc1 \n"
        % long
    )
    members = [
        ("wmt14/src.dict", b"<s>\n<e>\n<unk>\nen0\nen1\nen2\n"),
        ("wmt14/trg.dict", "<s>\n<e>\n<unk>\nd\u00fc0\nd\u00fc1\n".encode("utf-8")),
        ("wmt14/train/train", train.encode("utf-8")),
        ("wmt14/test/test", "en2\td\u00fc1\n".encode("utf-8")),
        ("wmt14/gen/gen", "en0 en2\td\u00fc0\n".encode("utf-8")),
    ]
    write_tar(home, "wmt14/wmt14.tgz", members)


def wmt16(home):
    train = "a dog runs\tein Hund l\u00e4uft\na cat\teine Katze\nno translation\n"
    train += "a dog sees a cat\tein Hund sieht eine Katze\n"
    members = [
        ("wmt16/train", train.encode("utf-8")),
        ("wmt16/test", "a cat runs\teine Katze l\u00e4uft\n".encode()),
        ("wmt16/val", b"the dog\tder Hund\n"),
    ]
    write_tar(home, "wmt16/wmt16.tar.gz", members)
    # Where the real Paddle's get_dict looks when the text has fewer words than were asked for.
    write_tar(home, "wmt16.tar.gz", [("wmt16/train", b"other words here\tandere Worte hier\n"), *members[1:]])


def picture(seed, width, height):
    """A smooth random picture, of which JPEG keeps most: uint8 of shape (height, width, 3)."""
    rng = np.random.RandomState(seed)
    x, y = np.arange(width) / width, np.arange(height)[:, None] / height
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(-6, 6, (3, 3))]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def jpeg(seed, width, height):
    from PIL import Image

    return encoded(Image.fromarray(picture(seed, width, height)), "JPEG", quality=95)


def png(array):
    from PIL import Image

    return encoded(Image.fromarray(array), "PNG")


def encoded(image, form, **options):
    raw = io.BytesIO()
    image.save(raw, form, **options)
    return raw.getvalue()


def write(home, name, content):
    path = os.path.join(home, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def write_tar(home, name, members, compressed=True):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    write(home, name, gzip_of(raw.getvalue()) if compressed else raw.getvalue())


def write_zip(home, name, members):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for member, content in members:
            archive.writestr(zipfile.ZipInfo(member, (2000, 1, 1, 0, 0, 0)), content)
    write(home, name, raw.getvalue())


def gzip_of(content):
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        file.write(content)
    return raw.getvalue()


def matlab(matrices, compressed):
    """A MATLAB file of version 5 with matrices of unsigned integers."""

    def element(kind, data):
        if len(data) <= 4:
            return struct.pack("<HH", kind, len(data)) + data + bytes(4 - len(data))
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    content = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    for name, matrix in matrices:
        kind, number_class = {1: (2, 9), 2: (4, 11)}[matrix.itemsize]
        flags = element(6, struct.pack("<II", number_class, 0))
        parts = [flags, element(5, struct.pack("<ii", *matrix.shape)), element(1, name.encode())]
        whole = element(14, b"".join(parts) + element(kind, matrix.tobytes(order="F")))
        if compressed:
            packed = zlib.compress(whole)
            whole = struct.pack("<II", 15, len(packed)) + packed
        content += whole
    return content


def python_2_pickle(value):
    """A pickle as Python 2 made them: bytes are strings of it, as in the real archives of CIFAR."""
    out = [b"\x80\x02"]

    def put(value):
        if isinstance(value, bytes):
            short = len(value) < 256
            out.append((b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value)
        elif isinstance(value, bool):
            out.append(b"\x88" if value else b"\x89")
        elif isinstance(value, int):
            out.append(b"J" + struct.pack("<i", value))
        elif isinstance(value, (list, tuple, dict)):
            start, end = {list: (b"](", b"e"), tuple: (b"(", b"t"), dict: (b"}(", b"u")}[type(value)]
            out.append(start)
            for item in value if not isinstance(value, dict) else [each for pair in value.items() for each in pair]:
                put(item)
            out.append(end)
        else:
            out.append(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\0\0\0\0tU\x01btR(")
            put(1)
            put(value.shape)
            out.append(b"cnumpy\ndtype\nU\x02u1J\0\0\0\0J\1\0\0\0\x87R(J\3\0\0\0U\x01|NNN")
            out.append(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffJ\0\0\0\0tb\x89")
            put(value.tobytes())
            out.append(b"tb")

    put(value)
    out.append(b".")
    return b"".join(out)

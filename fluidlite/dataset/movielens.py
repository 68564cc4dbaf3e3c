"""MovieLens 1M: a million ratings of 4,000 films by 6,000 people.

Harper and Konstan, The MovieLens datasets, 2015. The archive lies under the data home as
``movielens/movielens%2Fml-1m.zip``.
"""

import functools
import re

import numpy as np

from . import common
from .archives import zip_lines

__all__ = [
    "MovieInfo", "UserInfo", "age_table", "get_movie_title_dict", "max_job_id", "max_movie_id", "max_user_id",
    "movie_categories", "movie_info", "test", "train", "user_info",
]  # fmt: skip

URL = "https://dataset.bj.bcebos.com/movielens%2Fml-1m.zip"
MD5 = "c4d9eecfca2ab87c1945afe126590906"
_AUTHORS = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"

age_table = [1, 18, 25, 35, 45, 50, 56]


class MovieInfo:
    """A film: its number, its title without the year, and the names of its categories."""

    def __init__(self, index, categories, title):
        self.index = int(index)
        self.categories = categories
        self.title = title

    def value(self):
        """Return [number, list of numbers of its categories, list of numbers of its title's words]."""
        numbers = _read_tables(_archive())
        return [
            self.index,
            [numbers.categories[name] for name in self.categories],
            [numbers.words[word.lower()] for word in self.title.split()],
        ]

    def __repr__(self):
        return f"<MovieInfo id({self.index}), title({self.title}), categories({self.categories})>"


class UserInfo:
    """A person: number, whether male, place of the age in ``age_table``, number of the job."""

    def __init__(self, index, gender, age, job_id):
        self.index = int(index)
        self.is_male = gender == "M"
        self.age = age_table.index(int(age))
        self.job_id = int(job_id)

    def value(self):
        """Return [number, 0 for male or 1 for female, place of the age in ``age_table``, number of the job]."""
        return [self.index, 0 if self.is_male else 1, self.age, self.job_id]

    def __repr__(self):
        gender = "M" if self.is_male else "F"
        return f"<UserInfo id({self.index}), gender({gender}), age({age_table[self.age]}), job({self.job_id})>"


def train(rand_seed=0, test_ratio=0.1):
    """Return a reader of the ratings that are not drawn for the test.

    The draw is Paddle's, but neither disturbs NumPy's global random numbers nor depends on them.

    Args:
        rand_seed (int): seed of the draw.
        test_ratio (float): share of the ratings that are for the test.

    Returns:
        A reader of lists: user's number, 0 for male or 1 for female, age's place in ``age_table``, job's number,
        film's number, list of its categories' numbers, list of its title's words' numbers, list of the rating as
        float from -3 to 5.

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return functools.partial(_ratings, rand_seed, test_ratio, False)


def test(rand_seed=0, test_ratio=0.1):
    """Return a reader of the ratings drawn for the test; see :func:`train`."""
    return functools.partial(_ratings, rand_seed, test_ratio, True)


def get_movie_title_dict():
    """Return the numbers of the words of all titles (dict: str in small letters -> int)."""
    return _read_tables(_archive()).words


def movie_categories():
    """Return the numbers of the categories (dict: str -> int)."""
    return _read_tables(_archive()).categories


def user_info():
    """Return all people (dict: int -> UserInfo)."""
    return _read_tables(_archive()).users


def movie_info():
    """Return all films (dict: int -> MovieInfo)."""
    return _read_tables(_archive()).movies


def max_movie_id():
    """Return the highest number of a film (int)."""
    return max(movie_info())


def max_user_id():
    """Return the highest number of a person (int)."""
    return max(user_info())


def max_job_id():
    """Return the highest number of a job (int)."""
    return max(user.job_id for user in user_info().values())


def fetch():
    """Download the archive if it is not there yet."""
    _archive()


class _Tables:
    """Films and people by number; numbers of categories and of words, in the order in which they first come up."""

    def __init__(self, path):
        self.movies, self.users, self.categories, self.words = {}, {}, {}, {}
        for number, title, categories in _records(path, "movies.dat"):
            title = re.match(r"(.*)\(\d+\)$", title)[1]
            movie = self.movies[int(number)] = MovieInfo(number, categories.split("|"), title)
            for name in movie.categories:
                self.categories.setdefault(name, len(self.categories))
            for word in title.lower().split():
                self.words.setdefault(word, len(self.words))
        for number, gender, age, job, _ in _records(path, "users.dat"):
            self.users[int(number)] = UserInfo(number, gender, age, job)


@functools.lru_cache(maxsize=1)
def _read_tables(path):
    return _Tables(path)


def _ratings(rand_seed, test_ratio, is_test):
    path = _archive()
    tables = _read_tables(path)
    draw = np.random.RandomState(rand_seed).random_sample
    users = {number: user.value() for number, user in tables.users.items()}
    movies = {number: movie.value() for number, movie in tables.movies.items()}
    for user, movie, rating, _ in _records(path, "ratings.dat"):
        if (draw() < test_ratio) == is_test:
            number, categories, words = movies[int(movie)]
            yield [*users[int(user)], number, [*categories], [*words], [float(rating) * 2 - 5.0]]


def _records(path, name):
    for line in zip_lines(path, f"ml-1m/{name}"):
        yield line.decode("latin-1").strip().split("::")


def _archive():
    return common.download([URL, _AUTHORS], "movielens", MD5)

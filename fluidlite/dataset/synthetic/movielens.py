"""Ratings that follow from who rates which kind of film; as :mod:`fluidlite.dataset.movielens`."""

import functools

import numpy as np

from ..movielens import age_table

__all__ = [
    "age_table",
    "get_movie_title_dict",
    "max_job_id",
    "max_movie_id",
    "max_user_id",
    "movie_categories",
    "test",
    "train",
]

_CATEGORIES = [
    "Action",
    "Animation",
    "Comedy",
    "Crime",
    "Drama",
    "Fantasy",
    "Horror",
    "Musical",
    "Romance",
    "War",
    "Western",
]
_BEGINNINGS = ["the", "a", "another", "my", "no", "last", "first"]
_MIDDLES = ["dark", "golden", "lonely", "happy", "wild", "secret", "broken"]
_ENDS = ["river", "summer", "stranger", "kingdom", "train", "night", "garden", "promise"]
_USERS, _MOVIES, _JOBS = 300, 200, 20
_TRAINING, _TESTING = 6000, 600


def train():
    """Return a reader of 6,000 ratings.

    Returns:
        A reader of lists as of :func:`fluidlite.dataset.movielens.train`: user, gender, age, job, film, list of
        categories, list of title words, list of the rating.
    """
    return functools.partial(_ratings, 0, _TRAINING)


def test():
    """Return a reader of 600 other ratings; see :func:`train`."""
    return functools.partial(_ratings, 1, _TESTING)


def get_movie_title_dict():
    """Return the numbers of the words of all titles (dict: str -> int)."""
    return {word: number for number, word in enumerate(_BEGINNINGS + _MIDDLES + _ENDS)}


def movie_categories():
    """Return the numbers of the categories (dict: str -> int)."""
    return {name: number for number, name in enumerate(_CATEGORIES)}


def max_user_id():
    """Return the highest number of a person (int)."""
    return _USERS


def max_movie_id():
    """Return the highest number of a film (int)."""
    return _MOVIES


def max_job_id():
    """Return the highest number of a job (int)."""
    return _JOBS


@functools.cache
def _tables():
    """Return people [number, gender, age, job], films [number, categories, title words] and who likes what."""
    rng = np.random.default_rng(5)
    words = get_movie_title_dict()
    users = [
        [number, int(rng.integers(2)), int(rng.integers(len(age_table))), int(rng.integers(_JOBS + 1))]
        for number in range(1, _USERS + 1)
    ]
    movies = [
        [
            number,
            sorted(rng.choice(len(_CATEGORIES), rng.integers(1, 4), replace=False).tolist()),
            [words[part[rng.integers(len(part))]] for part in (_BEGINNINGS, _MIDDLES, _ENDS)],
        ]
        for number in range(1, _MOVIES + 1)
    ]
    likes = rng.normal(0, 1.6, (2, len(age_table), len(_CATEGORIES)))  # by gender and age
    return users, movies, likes


def _ratings(part, count):
    users, movies, likes = _tables()
    rng = np.random.default_rng([5, part])
    for _ in range(count):
        user, movie = users[rng.integers(_USERS)], movies[rng.integers(_MOVIES)]
        score = 3.2 + likes[user[1], user[2], movie[1]].mean() + rng.normal(0, 0.4)
        stars = min(5, max(1, round(score)))
        yield [*user, movie[0], [*movie[1]], [*movie[2]], [stars * 2 - 5.0]]

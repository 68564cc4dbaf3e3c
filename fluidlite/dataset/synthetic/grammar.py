"""A small grammar of English, with the German of each sentence and who does what to whom in it."""

from typing import NamedTuple

__all__ = ["Clause", "clause"]

_NOUNS = {  # English -> German, gender
    "animal": {"cat": ("Katze", "f"), "dog": ("Hund", "m"), "horse": ("Pferd", "n"), "bird": ("Vogel", "m")},
    "person": {"woman": ("Frau", "f"), "man": ("Mann", "m"), "child": ("Kind", "n"), "teacher": ("Lehrer", "m")},
    "food": {"apple": ("Apfel", "m"), "bread": ("Brot", "n"), "soup": ("Suppe", "f"), "cheese": ("K\u00e4se", "m")},
    "text": {"book": ("Buch", "n"), "letter": ("Brief", "m"), "newspaper": ("Zeitung", "f"), "song": ("Lied", "n")},
}
_ADJECTIVES = {  # English -> German stem
    "animal": {"small": "klein", "old": "alt", "young": "jung", "wild": "wild"},
    "person": {"small": "klein", "old": "alt", "young": "jung", "clever": "klug"},
    "food": {"fresh": "frisch", "good": "gut", "hot": "hei\u00df", "cheap": "billig"},
    "text": {"long": "lang", "good": "gut", "new": "neu", "cheap": "billig"},
}
_BEINGS = ("animal", "person")
_VERBS = {  # name -> present, participle, German present and participle, who does it, to what
    "eat": ("eats", "eaten", "isst", "gegessen", _BEINGS, ("food",)),
    "see": ("sees", "seen", "sieht", "gesehen", _BEINGS, ("animal", "person", "food")),
    "hear": ("hears", "heard", "h\u00f6rt", "geh\u00f6rt", _BEINGS, _BEINGS),
    "buy": ("buys", "bought", "kauft", "gekauft", ("person",), ("food", "text")),
    "read": ("reads", "read", "liest", "gelesen", ("person",), ("text",)),
    "write": ("writes", "written", "schreibt", "geschrieben", ("person",), ("text",)),
    "find": ("finds", "found", "findet", "gefunden", _BEINGS, ("animal", "food", "text")),
}
_TIMES = {"today": "heute", "now": "jetzt", "often": "oft"}
_PLACES = {
    ("in", "the", "garden"): ("im", "Garten"),
    ("in", "the", "house"): ("im", "Haus"),
    ("at", "the", "market"): ("am", "Markt"),
}
_ARTICLES = {  # German, by case, gender and whether "the": article and ending of the adjective
    ("nominative", "m"): {True: ("der", "e"), False: ("ein", "er")},
    ("nominative", "f"): {True: ("die", "e"), False: ("eine", "e")},
    ("nominative", "n"): {True: ("das", "e"), False: ("ein", "es")},
    ("accusative", "m"): {True: ("den", "en"), False: ("einen", "en")},
    ("accusative", "f"): {True: ("die", "e"), False: ("eine", "e")},
    ("accusative", "n"): {True: ("das", "e"), False: ("ein", "es")},
}
_VOWELS = "aeiou"


class Clause(NamedTuple):
    """A sentence without its full stop.

    Attributes:
        verb (str): the verb's name, as "see".
        english (list of str): the words.
        german (list of str): the words of the translation; None for a passive.
        roles (list of str): of each English word: "B-A0", "I-A0", "B-V", "O" ... as in the CoNLL 2005 task.
    """

    verb: str
    english: list
    german: list
    roles: list


def clause(rng, passive=0.0):
    """Make a sentence.

    Args:
        rng (numpy.random.Generator): what chooses the words.
        passive (float): the probability that it is a passive.

    Returns:
        Clause.
    """
    verb = _choice(rng, _VERBS)
    present, participle, german_present, german_participle, subjects, objects = _VERBS[verb]
    agent, german_agent = _noun_phrase(rng, _choice(rng, subjects), "nominative")
    patient, german_patient = _noun_phrase(rng, _choice(rng, objects), "accusative")
    time = _choice(rng, _TIMES) if rng.random() < 0.3 else None
    place = _choice(rng, list(_PLACES)) if rng.random() < 0.3 else None
    german_ends = ([_TIMES[time]] if time else []) + list(_PLACES[place] if place else [])
    if rng.random() < passive:
        parts = [(patient, "A1"), (["is"], None), ([participle], "V"), (["by"], None), (agent, "A0")]
        german = None
    elif rng.random() < 0.5:
        parts = [(agent, "A0"), ([present], "V"), (patient, "A1")]
        german = [*german_agent, german_present, *german_ends, *german_patient]
    else:  # German puts the participle last
        parts = [(agent, "A0"), (["has"], None), ([participle], "V"), (patient, "A1")]
        german = [*german_agent, "hat", *german_ends, *german_patient, german_participle]
    parts += [(list(place), "AM-LOC")] if place else []
    parts += [([time], "AM-TMP")] if time else []
    english = [word for words, _ in parts for word in words]
    roles = [label for words, role in parts for label in _labels(role, len(words))]
    return Clause(verb, english, german, roles)


def _noun_phrase(rng, kind, case):
    noun = _choice(rng, _NOUNS[kind])
    german, gender = _NOUNS[kind][noun]
    definite = rng.random() < 0.6
    article, ending = _ARTICLES[case, gender][definite]
    words = [noun]
    german_words = [article, german]
    if rng.random() < 0.4:
        adjective = _choice(rng, _ADJECTIVES[kind])
        words.insert(0, adjective)
        german_words.insert(1, _ADJECTIVES[kind][adjective] + ending)
    words.insert(0, "the" if definite else "an" if words[0][0] in _VOWELS else "a")
    return words, german_words


def _labels(role, length):
    if role is None:
        return ["O"] * length
    return [f"B-{role}"] + [f"I-{role}"] * (length - 1)


def _choice(rng, options):
    options = list(options)
    return options[rng.integers(len(options))]

"""Short scenes in which names and things come back in every sentence, and beginnings of stories that were
asked for. Stories alone teach a model their sentences long before it learns to look back for who is in
them and what was asked; these teach that."""
import write_tales

BEGINNINGS = [
    "There was {h.a} named {h}, and there was {f.a} named {f}.",
    "{h} was {h.a}. {f} was {f.a}.",
    "Once there lived {h.a} called {h} and {f.a} called {f}.",
    "{h}, {h.a}, and {f}, {f.a}, were friends.",
    "This is about {h.a}. {h.his} name was {h}. {h.his} friend was {f}, {f.a}.",
    "Here come {h} and {f}. {h} is {h.a}, and {f} is {f.a}.",
]
SENTENCES = [
    "{h} said, \"Good morning, {f}.\" \"Good morning, {h}!\" said {f}.",
    "{h} looked at {f}, and {f} looked at {h}.",
    "{h} had a {t}, and {f} had a {t2}.",
    "\"Is that your {t}?\" asked {f}. \"Yes, the {t} is mine,\" said {h}.",
    "\"And whose is the {t2}?\" asked {h}. \"The {t2} is mine,\" said {f}.",
    "{h} gave {f} the {t}. {f} gave {h} the {t2}.",
    "{h} took {f} by the hand. {h.he} was glad, and {f} was glad, too.",
    "{f} laughed, and {f.he} called {h}.",
    "{h} ran, and {f} ran behind {h.him}.",
    "\"Where is {f}?\" thought {h}. But {f} stood behind {h.him}.",
    "\"Where is {h}?\" thought {f}. But {h} was not far from {f.him}.",
    "{h} was tired. {f} was not.", "{f} was tired. {h} was not.",
    "So {h} and {f} went on, {h} in front and {f} behind.",
    "Then {f} told {h.him} everything, and {h} told {f.him} everything.",
    "{h} hurt {h.his} foot. {f} helped {h.him}.", "{f} fell. {h} helped {f.him} up.",
    "{h} put the {t} down. {f} put the {t2} beside the {t}.",
    "{h} liked the {t2}. {f} liked the {t}.", "{h} was {h.a}, after all.",
    "{f} was {f.a}, after all.", "{g} saw them. \"Hello, {h}! Hello, {f}!\" said {g}.",
    "\"Who has my {t}?\" asked {h}. \"{g} has your {t}, {h},\" said {f}.",
    "{g} came back. \"Have you seen {f}, {h}?\" asked {g}.",
    "\"Thank you, {f},\" said {h}. \"Thank you, {h},\" said {f}.",
    "\"I am {h},\" said {h}. \"And I am {f},\" said {f}.",
]


def scene(rng):
    values = write_tales.slots(rng)
    lines = [rng.choice(BEGINNINGS), *rng.sample(SENTENCES, rng.randint(4, 10))]
    return write_tales.expand(rng, rng.choice(" \n").join(lines), values)


def beginning(rng, plots):
    """A request and how its story begins: who it is about, and what happens first."""
    text, request = write_tales.tale(rng, plots)
    lines = [line for line in text.split("\n") if line]
    return [("user", request), ("assistant", "\n".join(lines[:2]))]


if __name__ == "__main__":
    import random
    for seed in range(3):
        print(scene(random.Random(seed)), end="\n\n")

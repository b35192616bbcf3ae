"""Writes little stories from the plots in plots/: as many as are wanted, the same for the same seed.

The signs in a plot:
  = name | topic | title     begins a plot; the topic follows "a fox ..." in a request
  [a|b|c]                    one of them, drawn anew each time
  {h} {f} {g}                the hero, the friend, an elder: their names; {h.he} {h.his} {h.him}
                             {h.self} {h.noun} {h.a} ("a shy fox")
  {par} {royal}              a relative of the hero; a prince or princess; with .he, .his, .him
  {t} {t2} {tc}              two things and the first one's colour; other names: see `slots` below
Sentences begin with a capital by themselves, and "a" becomes "an" where it must.
"""
import random
import re
from pathlib import Path

import tale_words as words

SHARE_TITLED = 0.12
SHARE_CHAT = 0.35
STRANGERS = {"storm", "neighbour"}  # here the hero meets the friend only in the story


def read_plots(folder):
    plots = []
    for path in sorted(Path(folder).glob("*.txt")):
        for line in path.read_text().splitlines():
            if line.startswith("="):
                name, topic, title = (part.strip() for part in line[1:].split("|"))
                plots.append({"name": name, "topic": topic, "title": title, "lines": []})
            elif plots and not line.startswith("#"):
                plots[-1]["lines"].append(line)
    return plots


def person(rng, used):
    """A person or animal whose name and kind are not among `used`."""
    while True:
        female = rng.random() < 0.5
        kind = rng.choices((words.PEOPLE, words.ANIMALS, words.FOLK), (0.25, 0.65, 0.1))[0]
        noun = rng.choice(kind)
        if noun in words.PEOPLE:
            noun = "girl" if female else "boy"
        name = rng.choice(words.GIRLS if female else words.BOYS)
        if name not in used and noun not in used:
            used.update((name, noun))
            return {**pronouns(female), "": name, "noun": noun,
                    "a": f"a {rng.choice(words.ADJECTIVES)} {noun}", "bare": f"a {noun}"}


def pronouns(female):
    if female:
        return {"he": "she", "his": "her", "him": "her", "self": "herself"}
    return {"he": "he", "his": "his", "him": "him", "self": "himself"}


def slots(rng):
    used = set()
    h, f = person(rng, used), person(rng, used)
    elder, elder_is_woman = rng.choice(words.ELDERS)
    par = rng.choice(words.PARENTS[:2] if rng.random() < 0.6 else words.PARENTS)
    royal_is_woman = rng.random() < 0.5
    things = rng.sample(words.THINGS, 2)
    food, a_food = rng.choice(words.FOODS)
    searched = rng.sample(words.SEARCH_HOME, 2)
    loves = rng.sample(words.LOVES, 2)
    colour = rng.choice(words.COLOURS)
    royal = "princess" if royal_is_woman else "prince"
    return {
        "h": h, "f": f, "g": {"": elder, **pronouns(elder_is_woman)},
        "par": {"": par, **pronouns(par in words.FEMALE_PARENTS)},
        "royal": {"": royal, **pronouns(royal_is_woman)}, "Royal": royal.title(),
        "t": things[0], "t2": things[1], "T": things[0].title(), "tc": colour, "Tc": colour.title(),
        "food": food, "afood": a_food, "Food": food.title(), "Kind": h["noun"].title(),
        "p": rng.choice(words.PLACES), "gd": rng.choice(words.GARDEN), "s1": searched[0],
        "s2": searched[1], "s3": rng.choice(words.SEARCH_OUT), "day": rng.choice(words.DAYS),
        "wool": rng.choice(words.WOOL), "skill": rng.choice(words.SKILLS),
        "home": rng.choice(words.HOMES), "love": loves[0], "love2": loves[1],
    }


INNERMOST = re.compile(r"\[([^][]*)\]([.!?]?)(?=(\" [a-z{])?)")
ASKS = re.compile(
    r"(And )?(Shall|Where|Did|Do(?! not)|Does|Have you|Who|Are|Was|Will|Can|May|Is|Would|Why|"
    r"When (did|is|was)|Which|[Ww]hat (?!a |luck)|How (do|does|did|was|far))\b")
MAY_ASK = {"Really", "Hello", "Yes", "A cheese", "A hundred times", "Just talk", "Only talk",
           "A good {t} for an old bag", "You went out with a {t} and came home with a bag",
           "Guess what day it is today", "Well, how was school", "And the stone",
           "Was the short way short"}
SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
BARE_RELATIVE = re.compile(r"(?<!\{h\.his\} )\{par\}")
STARTS = re.compile(r"((?:^|\n|(?<!\.\.)[.!?] |\.\" )\"?)([a-z])")


def drawn(rng, match):
    """One of the group's parts, with a question mark after it if and only if it asks."""
    part, mark = rng.choice(match[1].split("|")), match[2]
    if ASKS.match(re.split("[.!?] ", part)[-1]):
        return part + (mark and "?")
    if mark == "?" and part not in MAY_ASK:
        return part + ("," if match[3] else ".")  # "... is dark," said the star
    return part + mark


def expand(rng, text, values):
    while True:
        text, n = INNERMOST.subn(lambda m: drawn(rng, m), text)
        if not n:
            break
    text = BARE_RELATIVE.sub("{h.his} {par}", text)

    def value(match):
        found = values[match[1]]
        return found[match[2] or ""] if isinstance(found, dict) else found
    text = SLOT.sub(value, text)
    text = re.sub(r"\b([Aa]) (?=[aeiou](?!se))", r"\1n ", text)
    text = re.sub(r" {2,}", " ", text).strip()
    return STARTS.sub(lambda m: m[1] + m[2].upper(), text)


def opening(rng, plot, values):
    first = rng.choice(words.OPENINGS)
    lines = [first]
    if "{home}" not in first and rng.random() < 0.7:
        lines.append(rng.choice(words.HOME_LINES))
    if rng.random() < 0.6:
        lines.append(rng.choice(words.LOVE_LINES))
    if plot["name"] not in STRANGERS:
        lines.append(rng.choice(words.FRIEND_LINES))
    return expand(rng, " ".join(lines), values)


def tell(rng, plot, values):
    """One story: paragraphs apart by an empty line, what each speaker says on a line of its own."""
    parts = [opening(rng, plot, values)]
    for line in plot["lines"]:
        if not line:
            parts.append("")
        else:
            aside = rng.choice(words.ASIDES) + " " if rng.random() < 0.04 else ""
            parts.append(aside + expand(rng, line, values))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip()


def title_of(rng, plot, values):
    title = expand(rng, "x " + plot["title"], values)[2:]
    return f"The {values['h']['noun'].title()} and {title}"


def tale(rng, plots):
    """A story and a request that asks for it."""
    plot, values = rng.choice(plots), slots(rng)
    text = tell(rng, plot, values)
    if rng.random() < SHARE_TITLED:
        text = f"{title_of(rng, plot, values)}\n\n{text}"
    values["topic"] = expand(rng, "x " + plot["topic"], values)[2:]
    requests = words.ANY_REQUESTS if rng.random() < 0.3 else words.REQUESTS
    return text, expand(rng, rng.choice(requests), values)


def document(rng, plots):
    """A plain story, as a string, or a chat, as a list of (role, text)."""
    if rng.random() >= SHARE_CHAT:
        return tale(rng, plots)[0]
    turns = []
    if rng.random() < 0.15:
        turns.append(("system", rng.choice(words.SYSTEMS)))
    if rng.random() < 0.25:
        asked, answers = rng.choice(words.SMALL_TALK)
        turns += [("user", rng.choice(asked)), ("assistant", rng.choice(answers))]
        if rng.random() < 0.3:
            return turns
    text, request = tale(rng, plots)
    turns += [("user", request), ("assistant", text)]
    if rng.random() < 0.2:
        text, request = tale(rng, plots)
        request = rng.choice(words.MORE) if rng.random() < 0.6 else request
        turns += [("user", request), ("assistant", text)]
    return turns


if __name__ == "__main__":
    import sys
    draw = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    known = read_plots(Path(__file__).parent / "plots")
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(document(draw, known), end="\n\n-----\n\n")

#!/usr/bin/env python3
"""Schemas with instances and the verdict of the `jsonschema` package (PyPI), as schemas.jsonl.

Two sources. "suite": the official JSON-Schema-Test-Suite, draft 2020-12, which the source package
of jsonschema carries in json/ (pip download --no-binary jsonschema jsonschema; its verdicts are
checked against the package). "own": schemas of the kinds that clients send, with instances made by
mutating valid ones.

    python make_schema_golden.py PATH/jsonschema-VERSION/json/tests/draft2020-12

Needs: pip install jsonschema rfc3339-validator
"""
import itertools
import json
import pathlib
import random
import sys

import jsonschema

OUT = pathlib.Path(__file__).with_name("schemas.jsonl")
CHECKER = jsonschema.Draft202012Validator
FORMATS = CHECKER.FORMAT_CHECKER

OWN = [
    {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0,
     "maximum": 150}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
     "required": ["name", "age"], "additionalProperties": False},
    {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome", "Oslo"]}, "celsius": {"type": "number"},
     "when": {"type": "string", "format": "date-time"}}, "required": ["city", "celsius", "when"],
     "additionalProperties": False},
    {"type": "object", "properties": {"steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
     "answer": {"type": "string"}}, "required": ["steps", "answer"], "additionalProperties": False,
     "$defs": {"step": {"type": "object", "properties": {"explanation": {"type": "string"},
     "output": {"type": "string"}}, "required": ["explanation", "output"], "additionalProperties": False}}},
    {"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "left": {"anyOf":
     [{"$ref": "#/$defs/node"}, {"type": "null"}]}, "right": {"anyOf": [{"$ref": "#/$defs/node"},
     {"type": "null"}]}}, "required": ["v", "left", "right"], "additionalProperties": False}},
     "$ref": "#/$defs/node"},
    {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string", "maxLength": 3},
     {"type": ["boolean", "null"]}], "items": False, "minItems": 2},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number",
     "exclusiveMinimum": 0}}, "required": ["kind", "r"], "additionalProperties": False},
     {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "integer",
     "multipleOf": 5}}, "required": ["kind", "side"], "additionalProperties": False}]},
    {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}, "ip": {"type": "string",
     "format": "ipv4"}, "day": {"type": "string", "format": "date"}}, "required": ["id"],
     "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": -5,
     "exclusiveMaximum": 7}}, "properties": {"total": {"type": "integer"}}, "required": ["total"]},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}$"},
    {"type": "string", "pattern": "(cat|dog)s?"},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "integer", "minimum": 17, "maximum": 1203},
    {"type": "integer", "exclusiveMaximum": -99},
    {"type": "number", "minimum": -1, "maximum": 10},
    {"type": "integer", "multipleOf": 12},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
     {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}]},
    {"enum": [1, "1", True, None, [1], {"a": 1}]},
    {"type": "object", "properties": {"a\"b": {"type": "null"}, "x\\y": {"type": "null"}, "ключ": {"type": "null"}},
     "required": ["a\"b", "x\\y", "ключ"], "additionalProperties": False},
]

SEEDS = [
    {"name": "Ann", "age": 30}, {"name": "é😀\n\"q\"\\", "age": 0, "tags": ["a", "b", "c"]},
    {"city": "Rome", "celsius": -3.5, "when": "2024-02-29T23:59:59Z"},
    {"city": "Oslo", "celsius": 12, "when": "2024-02-30T23:59:59Z"},
    {"steps": [{"explanation": "e", "output": "o"}], "answer": "42"},
    {"v": 1, "left": None, "right": {"v": 2, "left": None, "right": None}},
    [1.5, "abc", None], [1, "abcd"], [2, "x"], [2, "x", True, 1],
    {"kind": "circle", "r": 2}, {"kind": "circle", "r": 0}, {"kind": "square", "side": 15},
    {"kind": "square", "side": 7}, {"id": "123e4567-e89b-12d3-a456-426614174000", "ip": "10.0.0.255",
     "day": "2023-12-31"}, {"id": "123e4567-e89b-12d3-a456-42661417400", "ip": "10.0.0.256"},
    {"id": "123e4567-e89b-12d3-a456-426614174000", "day": "2023-02-29"},
    {"total": 3, "xs": [1, -5, 6], "ys": []}, {"total": 3, "xs": [7]}, {"total": 1, "tota": [], "totals": [0]},
    "ABC-12", "ABC-1", "ABC-12345", "abc-12", "hotdog!", "cats", "cow", "", "a", "ab", "abcd", "abcde", "😀😀",
    16, 17, 18, 99, 100, 999, 1000, 1199, 1203, 1204, 2000, -99, -100, -101, -1000, 0, 12, 13, 24, 144, -12, -13,
    -1, -1.5, -1.0, -0.5, 0.25, 9.75, 10, 10.0, 10.5, 100.5, 1e5, {"a": 1, "b": "x"}, {"a": 1}, {"a": "1", "b": "x"},
    1, "1", True, None, [1], {"a": 1.5}, [], {}, [None], {"a\"b": None, "x\\y": None, "ключ": None},
    {"a\"b": None, "x\\y": None}, {"x\\y": None, "a\"b": None, "ключ": None},
]


def mutations(value, rng):
    """A few neighbours of an instance, most of them wrong in one place."""
    out = []
    if isinstance(value, dict):
        for key in value:
            out.append({k: v for k, v in value.items() if k != key})
            out.append({**value, key: rng.choice([None, 0, "", [], {}, True, -1, 1.5])})
            out += [{**value, key: v} for v in mutations(value[key], rng)[:4]]
        out.append({**value, "zz": 1})
    elif isinstance(value, list):
        out += [value[:-1], value + value[-1:], value + ["zz"]]
        for i, item in enumerate(value):
            out += [value[:i] + [v] + value[i + 1:] for v in mutations(item, rng)[:3]]
    elif isinstance(value, str):
        out += [value[:-1], value + "a", value + "9", value.upper(), None]
    elif isinstance(value, bool) or value is None:
        out += [not value, "x"]
    else:
        out += [value + 1, value - 1, -value, value * 10, value + 0.5, str(value)]
    return out


def verdict(schema, instance):
    return CHECKER(schema, format_checker=FORMATS).is_valid(instance)


def text_of(instance):
    return json.dumps(instance, separators=(",", ":"), ensure_ascii=False)


def own_cases():
    rng = random.Random(5)
    pool = {}
    for seed in SEEDS:
        for one in itertools.chain([seed], mutations(seed, rng)):
            pool.setdefault(text_of(one), one)
    for schema in OWN:
        tests = [[text, verdict(schema, one)] for text, one in pool.items()]
        valid = [t for t in tests if t[1]]
        wrong = [t for t in tests if not t[1]]
        rng.shuffle(wrong)
        yield {"source": "own", "schema": schema, "tests": valid + wrong[:120]}


def suite_cases(folder):
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text()):
            schema = group["schema"]
            tests = []
            for test in group["tests"]:
                try:
                    text = text_of(test["data"])
                    text.encode()
                except (ValueError, UnicodeEncodeError):
                    continue
                tests.append([text, test["valid"]])
            yield {"source": f"suite {path.stem}: {group['description']}", "schema": schema, "tests": tests}


def main():
    folder = pathlib.Path(sys.argv[1])
    lines = [json.dumps({"made_with": f"jsonschema {jsonschema.__version__}"})]
    for case in itertools.chain(own_cases(), suite_cases(folder)):
        lines.append(json.dumps(case, ensure_ascii=False, separators=(",", ":")))
    OUT.write_text("\n".join(lines) + "\n")
    print(len(lines) - 1, "schemas,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()

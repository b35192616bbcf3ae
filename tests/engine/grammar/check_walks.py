#!/usr/bin/env python3
"""Random schemas, random texts that the engine permits for them, judged by the jsonschema package.

    python check_walks.py PATH/grammar_walk [SCHEMAS] [SEED]

Every text must parse and validate. Exits 77 (skipped) when jsonschema is not installed.
"""
import json
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: pip install jsonschema rfc3339-validator")
    sys.exit(77)

FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "hostname", "duration", "uri"]
PATTERNS = ["^[a-z]+$", "^[A-Z]{2,3}-\\d{4}$", "^(?:yes|no|maybe)$", "[0-9]", "^a.*z$", "^\\w+@\\w+$", "^x?y*z{2,}$",
            "^[^a-z\"]{1,5}$", "^(a|b\\\\|\\n)+$", "end$"]
WORDS = ["name", "id", "value", "na", "names", "é", "a b", "q\"t", "x"]


def integer(rng):
    schema = {"type": "integer"}
    low, high = sorted(rng.sample(range(-3000, 3000), 2))
    if rng.random() < 0.4:
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.4:
        schema[rng.choice(["maximum", "exclusiveMaximum"])] = high + 2
    if len(schema) == 1 and rng.random() < 0.3:
        schema["multipleOf"] = rng.randint(1, 40)
    return schema


def number(rng):
    schema = {"type": "number"}
    low, high = sorted(rng.sample(range(-40, 40), 2))
    if rng.random() < 0.5:
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.5:
        schema[rng.choice(["maximum", "exclusiveMaximum"])] = high
    return schema


def string(rng):
    schema = {"type": "string"}
    kind = rng.random()
    if kind < 0.25:
        schema["format"] = rng.choice(FORMATS)
    elif kind < 0.5:
        schema["pattern"] = rng.choice(PATTERNS)
    elif kind < 0.8:
        low = rng.randint(0, 12)
        schema["minLength"] = low
        schema["maxLength"] = low + rng.randint(0, 140)
    return schema


def compound(rng, depth, names):
    kind = rng.random()
    if kind < 0.45:
        properties = {w: schema_of(rng, depth - 1, names) for w in rng.sample(WORDS, rng.randint(0, 4))}
        schema = {"type": "object", "properties": properties,
                  "required": rng.sample(list(properties), rng.randint(0, len(properties)))}
        if rng.random() < 0.6:
            schema["additionalProperties"] = rng.choice([False, True, {"type": "integer"}])
        return schema
    if kind < 0.75:
        low = rng.randint(0, 2)
        schema = {"type": "array", "items": schema_of(rng, depth - 1, names), "minItems": low}
        if rng.random() < 0.5:
            schema["maxItems"] = low + rng.randint(0, 3)
        if rng.random() < 0.3:
            schema["prefixItems"] = [schema_of(rng, depth - 1, names) for _ in range(rng.randint(1, 2))]
        return schema
    if kind < 0.9:
        return {"anyOf": [schema_of(rng, depth - 1, names) for _ in range(rng.randint(1, 3))]}
    if kind < 0.95:
        return {"allOf": [compound(rng, depth - 1, names), {"title": "t"}]} if depth > 1 else integer(rng)
    return {"$ref": "#/$defs/" + rng.choice(names)}


def schema_of(rng, depth, names):
    kind = rng.random()
    if depth > 0 and kind < 0.45:
        return compound(rng, depth, names)
    if kind < 0.6:
        return string(rng)
    if kind < 0.7:
        return integer(rng)
    if kind < 0.78:
        return number(rng)
    if kind < 0.86:
        return {"enum": rng.sample([1, "a", "b\"", None, True, [1, 2], {"k": "v"}, 2.5], rng.randint(1, 4))}
    if kind < 0.9:
        return {"type": rng.sample(["string", "integer", "null", "boolean", "number"], rng.randint(1, 3))}
    return rng.choice([{}, True, {"type": "boolean"}, {"type": "null"}, {"type": "object"}, {"type": "array"}])


def make_schema(rng):
    names = ["one", "two"]
    schema = schema_of(rng, 3, names)
    if not isinstance(schema, dict):
        return schema
    return {**schema, "$defs": {name: schema_of(rng, 2, names) for name in names}}


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    schemas = [make_schema(rng) for _ in range(count)]
    lines = "".join(json.dumps(schema) + "\n" for schema in schemas)
    answer = subprocess.run([program, "6"], input=lines, capture_output=True, text=True, check=True)
    outputs = answer.stdout.split("\n")[:-1]  # splitlines() would cut at U+2028 in a text too
    assert len(outputs) == count, (len(outputs), answer.stderr)
    refused, texts, bad = {}, 0, 0
    for schema, line in zip(schemas, outputs):
        output = json.loads(line)
        if "error" in output:
            reason = output["error"].split(": ")[-1][:60]
            refused[reason] = refused.get(reason, 0) + 1
            continue
        checker = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        for text in output["texts"]:
            texts += 1
            try:
                ok = checker.is_valid(json.loads(text))
            except ValueError:
                ok = False
            if not ok:
                bad += 1
                print("INVALID", json.dumps(schema), "<-", text[:300])
    compiled = count - sum(refused.values())
    print(f"{compiled} of {count} schemas compiled, {texts} texts, {bad} invalid; refused: {refused}")
    return 1 if bad or texts < compiled else 0


if __name__ == "__main__":
    sys.exit(main())

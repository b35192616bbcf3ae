"""Writes the seed corpora of fuzz_gbnf and fuzz_schema from the golden files.

Run:  python tests/fuzz/make_grammar_corpus.py
Standard library only.
"""
import json
import pathlib

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "grammar"

HOSTILE = [
    'root ::= root "a" | "b"', 'root ::= (("a"*)*)*', 'root ::= ("a"?){0,1000000}',
    'root ::= "a" root "b" | "a" root "c" | "d"', 'root ::= [^"\\\\]{0,300} "\\""',
    "root ::= " + "(" * 40 + '"a"' + "){0,99}" * 40, 'root ::= .{2,150}\n# end',
]


def main():
    gbnf, schema = HERE / "corpus_gbnf", HERE / "corpus_schema"
    gbnf.mkdir(exist_ok=True)
    schema.mkdir(exist_ok=True)
    lines = (GOLDEN / "gbnf.jsonl").read_text().splitlines()[1:]
    for i, text in enumerate([json.loads(line)["gbnf"] for line in lines] + HOSTILE):
        (gbnf / f"{i:02}.gbnf").write_text(text)
    seen = set()
    for line in (GOLDEN / "schemas.jsonl").read_text().splitlines()[1:]:
        case = json.loads(line)
        kind = case["source"].split(":")[0]
        if kind in seen and kind != "own":
            continue
        seen.add(kind)
        (schema / f"{len(list(schema.iterdir())):02}.json").write_text(json.dumps(case["schema"]))


if __name__ == "__main__":
    main()

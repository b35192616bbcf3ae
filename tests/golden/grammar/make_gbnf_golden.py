#!/usr/bin/env python3
"""Languages of small grammars, as the Earley parser of the `lark` package (PyPI) sees them.

Each case pairs a GBNF text with the same grammar in lark's notation; every text over a small
alphabet up to a length is tried. Writes gbnf.jsonl: the grammar, the alphabet, the length, and the
accepted texts.

    python make_gbnf_golden.py        (needs: pip install lark)
"""
import itertools
import json
import pathlib

import lark

OUT = pathlib.Path(__file__).with_name("gbnf.jsonl")

CASES = [  # GBNF, lark, alphabet, longest text
    ('root ::= "a"* "b"', 'start: "a"* "b"', "ab", 7),
    ('root ::= ("a" | "ab")* "c"?', 'start: ("a" | "ab")* "c"?', "abc", 6),
    ('root ::= "(" root ")" root | ""', 'start: "(" start ")" start | ', "()", 10),
    ('root ::= "a" root "b" | "ab"', 'start: "a" start "b" | "ab"', "ab", 10),
    ('root ::= x{2,4} y?\nx ::= "a" | "bb"\ny ::= "b"', 'start: x~2..4 y?\nx: "a" | "bb"\ny: "b"', "ab", 9),
    ('root ::= term ("+" term)*\nterm ::= "n" | "(" root ")"',
     'start: term ("+" term)*\nterm: "n" | "(" start ")"', "n+()", 6),
    ('root ::= a b c\na ::= "a"*\nb ::= ("b" c)?\nc ::= "c" | a "a" | ""',
     'start: a b c\na: "a"*\nb: ("b" c)?\nc: "c" | a "a" | ', "abc", 6),
    ('root ::= ("a"? "b"?){3} "c"', 'start: ("a"? "b"?)~3 "c"', "abc", 7),
    ('root ::= s\ns ::= "a" s s | "b"', 'start: s\ns: "a" s s | "b"', "ab", 9),
    ('root ::= p\np ::= "a" p "a" | "b" p "b" | "a" | "b" | ""',
     'start: p\np: "a" p "a" | "b" p "b" | "a" | "b" | ', "ab", 9),
    ('root ::= ([ab]{2} "c"){0,2} [^b]', 'start: (AB AB "c")~0..2 X\nAB: "a" | "b"\nX: "a" | "c"', "abc", 7),
    ('root ::= ("a"*)* ("b"+)? | "c"{3,}', 'start: "a"* ("b"+)? | "c" "c" "c"+', "abc", 6),
    ('root ::= q "x" | r "y"\nq ::= "a" q | "a"\nr ::= "a" r "b" | "ab"',
     'start: q "x" | r "y"\nq: "a" q | "a"\nr: "a" r "b" | "ab"', "abxy", 6),
    ('root ::= w (" " w)* "."\nw ::= [ab]+', 'start: w (" " w)* "."\nw: AB+\nAB: "a" | "b"', "ab .", 6),
]


def main():
    lines = [json.dumps({"made_with": f"lark {lark.__version__}"})]
    for gbnf, text, alphabet, longest in CASES:
        parser = lark.Lark(text, parser="earley", lexer="dynamic_complete")
        accepted = []
        for n in range(longest + 1):
            for letters in itertools.product(alphabet, repeat=n):
                word = "".join(letters)
                try:
                    parser.parse(word)
                except lark.exceptions.LarkError:
                    continue
                accepted.append(word)
        lines.append(json.dumps({"gbnf": gbnf, "alphabet": alphabet, "longest": longest, "accepted": accepted}))
        print(gbnf.splitlines()[0], len(accepted))
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

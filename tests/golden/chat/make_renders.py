#!/usr/bin/env python3
"""Writes renders.json and expressions.json: what Python's Jinja2 makes of templates.

Usage: python3 make_renders.py <directory with *.jinja>   (needs jinja2 3.1; no network)

The environment is the one of transformers.utils.chat_template_utils: immutable sandbox,
trim_blocks, lstrip_blocks, loop controls, a `generation` tag, tojson without HTML escapes,
raise_exception and strftime_now (with a fixed clock here). A result is the text, or {"error": m}
where m is the message of raise_exception, or null for any other failure.
"""
import datetime
import json
import pathlib
import sys

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conversations import CONVERSATIONS
from expressions import EXPRESSIONS

HERE = pathlib.Path(__file__).parent
NOW = 1_753_500_000  # 2025-07-26 03:20:00 UTC


class Raised(Exception):
    pass


class Generation(Extension):
    """{% generation %}: marks the assistant's text; renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_body")
        return nodes.CallBlock(call, [], [], body).set_lineno(lineno)

    @staticmethod
    def _body(caller):
        return caller()


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(format):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(
        tzinfo=None
    ).strftime(format)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def render(env, source, variables):
    try:
        return env.from_string(source).render(**variables)
    except Raised as e:
        return {"error": str(e)}
    except Exception:
        return {"error": None}


def template_cases(directory):
    env = environment()
    out = {}
    for path in sorted(directory.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        results = {}
        for name, conversation in CONVERSATIONS.items():
            variables = {
                "documents": None,
                "tools": conversation.get("tools"),
                "messages": conversation["messages"],
                "add_generation_prompt": conversation.get("add_generation_prompt", True),
                "bos_token": "<BOS>",
                "eos_token": "<EOS>",
                **conversation.get("extra", {}),
            }
            results[name] = render(env, source, variables)
        out[path.name] = results
    return out


def main():
    directory = pathlib.Path(sys.argv[1])
    renders = {
        "jinja2": jinja2.__version__,
        "now": NOW,
        "conversations": CONVERSATIONS,
        "templates": template_cases(directory),
    }
    (HERE / "renders.json").write_text(
        json.dumps(renders, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n",
        encoding="utf-8",
    )
    env = environment()
    cases = []
    for variables, sources in EXPRESSIONS:
        results = [[s, render(env, s, {"messages": [], "tools": None, "documents": None,
                                       "add_generation_prompt": True, "bos_token": "<BOS>",
                                       "eos_token": "<EOS>", **variables})] for s in sources]
        cases.append({"extra": variables, "cases": results})
    (HERE / "expressions.json").write_text(
        json.dumps({"jinja2": jinja2.__version__, "now": NOW, "groups": cases},
                   ensure_ascii=False, indent=0, separators=(",", ":")) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()

"""The official openai package against the server."""
import json
import re
from typing import Literal

import openai
import pydantic
import pytest

MESSAGES = [{"role": "user", "content": "Once upon a time"}]


def test_models(openai_client, model):
    assert openai_client.models.retrieve(model).id == model
    assert all(item.object == "model" for item in openai_client.models.list())


def test_completion_and_usage(openai_client, model):
    answer = openai_client.completions.create(
        model=model, prompt="Once upon a time", max_tokens=8, temperature=0
    )
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert 1 <= answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_completion_is_the_same_text(openai_client, model):
    options = dict(model=model, prompt="Once upon a time", max_tokens=24, temperature=1, seed=11)
    whole = openai_client.completions.create(**options)
    stream = openai_client.completions.create(
        stream=True, stream_options={"include_usage": True}, **options
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].text
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("length", "stop")


def test_published_text(openai_client, model, expected_text):
    answer = openai_client.completions.create(model=model, prompt="", max_tokens=256, temperature=0)
    assert answer.choices[0].text == expected_text


def test_several_prompts_and_choices(openai_client, model):
    answer = openai_client.completions.create(
        model=model, prompt=["One day", "A cat"], n=2, max_tokens=4, seed=5
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_logprobs(openai_client, model):
    answer = openai_client.completions.create(
        model=model, prompt="One", max_tokens=3, logprobs=2, echo=True, temperature=0
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in logprobs.token_logprobs[1:])
    chat = openai_client.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=3, logprobs=True, top_logprobs=2, temperature=0
    )
    entries = chat.choices[0].logprobs.content
    assert len(entries) == 3 and all(len(entry.top_logprobs) == 2 for entry in entries)
    assert entries[0].logprob == entries[0].top_logprobs[0].logprob


def test_chat(openai_client, model):
    answer = openai_client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=8)
    assert answer.choices[0].message.role == "assistant"
    assert isinstance(answer.choices[0].message.content, str)
    assert answer.choices[0].message.tool_calls is None


def test_chat_stream(openai_client, model):
    options = dict(model=model, messages=MESSAGES, max_tokens=16, temperature=1, seed=3)
    whole = openai_client.chat.completions.create(**options)
    text, finish = "", None
    stream = openai_client.chat.completions.create(stream=True, **options)
    for number, chunk in enumerate(stream):
        if number == 0:
            assert chunk.choices[0].delta.role == "assistant"
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    assert text == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason


def test_chat_stream_helper(openai_client, model):
    text = ""
    with openai_client.chat.completions.stream(
        model=model, messages=MESSAGES, max_tokens=8
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                text += event.delta
        # The helper raises when the answer was cut, and hands over what there is.
        try:
            final = stream.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            final = cut.completion
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].message.content == text


def test_errors_have_their_classes(openai_client, model):
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.completions.create(model="no-such-model", prompt="x")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        openai_client.completions.create(model=model, prompt="x", temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        openai_client.completions.create(model=model, prompt="a b c " * 20000)
    assert long.value.code == "context_length_exceeded"


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 16},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "likes": {"type": "array", "items": {"enum": ["cats", "dogs"]}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}


def test_json_schema(openai_client, model):
    options = dict(
        model=model, messages=MESSAGES, max_tokens=400, temperature=1, seed=7,
        response_format={
            "type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}
        },
    )
    answer = openai_client.chat.completions.create(**options)
    assert answer.choices[0].finish_reason == "stop"
    person = json.loads(answer.choices[0].message.content)
    assert list(person) == ["name", "age", "likes"]
    assert 1 <= len(person["name"]) <= 16 and 0 <= person["age"] <= 120
    assert set(person["likes"]) <= {"cats", "dogs"}
    again = openai_client.chat.completions.create(**options)
    assert again.choices[0].message.content == answer.choices[0].message.content


def test_parse_helper(openai_client, model):
    class Colour(pydantic.BaseModel):
        name: Literal["red", "green", "blue"]
        rgb: list[int] = pydantic.Field(min_length=3, max_length=3)

    answer = openai_client.chat.completions.parse(
        model=model, messages=MESSAGES, response_format=Colour, max_tokens=300, seed=1
    )
    assert len(answer.choices[0].message.parsed.rgb) == 3


def test_grammar(openai_client, model):
    answer = openai_client.completions.create(
        model=model, prompt="Lily said", max_tokens=40, seed=2,
        extra_body={"grammar": 'root ::= " yes" | " no" [a-z]{4} "!"'},
    )
    assert re.fullmatch(" yes| no[a-z]{4}!", answer.choices[0].text)


def test_unsupported_keyword_is_refused_by_name(openai_client, model):
    with pytest.raises(openai.BadRequestError, match="'not' at #/properties/a"):
        openai_client.completions.create(
            model=model, prompt="x", extra_body={"json_schema": {"properties": {"a": {"not": {}}}}}
        )


def test_abort_frees_the_sequence(openai_client, model, becomes_idle):
    stream = openai_client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    assert becomes_idle()

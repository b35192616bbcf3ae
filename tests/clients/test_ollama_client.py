"""The official ollama package against the server."""
import datetime
import json
import time

import ollama
import pytest

MESSAGES = [{"role": "user", "content": "Once upon a time"}]


def test_list_show_ps(ollama_client):
    models = ollama_client.list().models
    assert models and models[0].size > 0 and len(models[0].digest) == 64
    shown = ollama_client.show(models[0].model)
    assert "general.architecture" in shown.modelinfo
    assert shown.details.format == "gguf"
    assert ollama_client.ps().models[0].context_length > 0


def test_generate(ollama_client, model):
    answer = ollama_client.generate(
        model, "Once upon a time", options={"num_predict": 8, "temperature": 0}
    )
    assert answer.done and answer.response
    assert answer.done_reason in ("length", "stop")
    for name in ("total_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count"):
        assert getattr(answer, name) > 0, name
    more = ollama_client.generate(
        model, " and then", context=answer.context, options={"num_predict": 4}
    )
    assert more.prompt_eval_count > answer.prompt_eval_count


def test_streamed_generate_is_the_same_text(ollama_client, model):
    options = {"num_predict": 24, "seed": 11, "temperature": 1}
    whole = ollama_client.generate(model, "Once upon a time", options=options)
    parts = list(ollama_client.generate(model, "Once upon a time", options=options, stream=True))
    assert "".join(part.response for part in parts) == whole.response
    assert parts[-1].done and not any(part.done for part in parts[:-1])


def test_published_text(ollama_client, model, expected_text):
    # Empty and raw: the beginning of a text. Without raw an empty prompt only loads the model.
    options = {"temperature": 0, "num_predict": 256}
    answer = ollama_client.generate(model, "", raw=True, options=options)
    assert answer.response == expected_text


def test_chat_and_stream(ollama_client, model):
    options = {"num_predict": 12, "seed": 3}
    whole = ollama_client.chat(model, MESSAGES, options=options)
    assert whole.message.role == "assistant" and whole.done
    parts = list(ollama_client.chat(model, MESSAGES, options=options, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content


def test_loading(ollama_client, model):
    assert ollama_client.generate(model).done_reason == "load"
    assert ollama_client.chat(model).done_reason == "load"


def test_unloading_and_keep_alive(ollama_client, model):
    def loaded():
        return [one.model for one in ollama_client.ps().models]

    ollama_client.generate(model, keep_alive="10m")
    shown = ollama_client.ps().models[0]
    seconds = (shown.expires_at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    assert 300 < seconds <= 600 and shown.size > 0
    assert ollama_client.generate(model, keep_alive=0).done_reason == "unload"
    end = time.monotonic() + 10
    while loaded() and time.monotonic() < end:
        time.sleep(0.02)
    assert loaded() == []
    assert ollama_client.list().models  # still on offer
    answer = ollama_client.generate(model, "Once", keep_alive=-1, options={"num_predict": 4})
    assert answer.response and answer.load_duration > 0
    assert len(loaded()) == 1


def test_errors_have_their_class(ollama_client, model):
    with pytest.raises(ollama.ResponseError) as missing:
        ollama_client.generate("no-such-model", "x")
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as refused:
        ollama_client.generate(model, "x", suffix="y")
    assert refused.value.status_code == 400 and "suffix" in refused.value.error


def test_abort_frees_the_sequence(ollama_client, model, becomes_idle):
    stream = ollama_client.generate(model, "Once", stream=True, options={"num_predict": -1})
    next(stream)
    stream.close()
    assert becomes_idle()


def test_format(ollama_client, model):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["n"],
    }
    answer = ollama_client.chat(model, MESSAGES, format=schema, options={"num_predict": 200})
    assert 1 <= json.loads(answer.message.content)["n"] <= 9
    answer = ollama_client.generate(
        model, "Once", format="json", options={"num_predict": 400, "seed": 4}
    )
    if answer.done_reason == "stop":
        assert isinstance(json.loads(answer.response), dict)
    with pytest.raises(ollama.ResponseError, match="not"):
        ollama_client.generate(model, "x", format={"type": "object", "not": {}})

"""Writes the seed corpora of all fuzz targets but fuzz_gguf, which has a script of its own.

Run:  python tests/fuzz/make_corpora.py
Standard library only. Valid seeds come first: they carry the fuzzer past the first check; one seed
per class of mistake follows. Seeds of earlier findings are kept as "found_*".
"""

import json
import pathlib
import struct

import make_gguf_corpus as gguf

HERE = pathlib.Path(__file__).parent
LINE = "\r\n"


def http():
    def head(*lines):
        return LINE.join(lines) + LINE + LINE

    yield "get", head("GET /v1/models?x=1 HTTP/1.1", "Host: localhost:8080", "Accept: */*")
    yield "post", head("POST /v1/completions HTTP/1.1", "Host: a", "Content-Length: 2") + "{}"
    yield "chunked", head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked",
                          "Expect: 100-continue")
    yield "absolute", head("GET http://[::1]:80/v1#f HTTP/1.1", "Host: other",
                           "Connection: keep-alive, CLOSE")
    yield "version10", head("GET / HTTP/1.0", "Connection: keep-alive")
    yield "options", head("OPTIONS * HTTP/1.1", "Host: a", "Origin: http://localhost:3000")
    yield "key", head("GET / HTTP/1.1", "Host: name.test", "Authorization: Bearer key",
                      "X-Api-Key: key")
    yield "empty_lines", LINE * 2 + head("GET /%41%2e HTTP/1.1", "Host: 127.0.0.1")
    yield "bare_lf", "GET / HTTP/1.1\nHost: a\n\n"
    yield "folded", head("GET / HTTP/1.1", "Host: a", " b")
    yield "two_lengths", head("GET / HTTP/1.1", "Host: a", "Content-Length: 1, 1")
    yield "long_target", head("GET /" + "a" * 70 + " HTTP/1.1", "Host: a")
    yield "chunks", "4;ext=1\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET"
    yield "chunk_empty", "0\r\n\r\n"
    yield "chunk_upper", "000000FF\r\n" + "x" * 255 + "\r\n0\r\n\r\n"
    yield "chunk_minus", "-2\r\n"
    yield "chunk_huge", "FFFFFFFF\r\n"
    yield "chunk_long_data", "1\r\nab\r\n"
    yield "chunk_long_line", "1;" + "x" * 200 + "\r\na\r\n0\r\n\r\n"
    yield "chunk_trailers", "0\r\n" + "T: x\r\n" * 20 + "\r\n"


def api():
    # The first character is the index of the endpoint in fuzz_api.cc.
    completion, chat, generate, ollama_chat, show = "01234"

    def body(endpoint, value):
        return endpoint + json.dumps(value, ensure_ascii=False)

    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi <s>"}]
    sampling = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "presence_penalty": 1,
                "frequency_penalty": -1, "logit_bias": {"5": 10, "6": -100}, "stop": ["a", "b"]}
    yield "completion", body(completion, {"model": "tiny", "prompt": "x", "max_tokens": 4})
    yield "completion_all", body(completion, {"prompt": ["a", "b"], "n": 2, "echo": True,
                                              "logprobs": 2, **sampling})
    yield "completion_tokens", body(completion, {"prompt": [[3, 4], [5]], "stream": True,
                                                 "stream_options": {"include_usage": True}})
    yield "chat", body(chat, {"messages": messages})
    yield "chat_stream", body(chat, {"messages": messages, "stream": True, "logprobs": True,
                                     "top_logprobs": 3, "n": 2, **sampling})
    yield "chat_parts", body(chat, {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "r"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "none", "response_format": {"type": "text"}})
    yield "chat_schema", body(chat, {"messages": messages, "response_format": {
        "type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}})
    yield "generate", body(generate, {"model": "tiny:latest", "prompt": "x", "stream": False,
                                      "options": {"num_predict": 3, "temperature": 0, "seed": 1,
                                                  "stop": ["z"], "num_ctx": 128, "mirostat": 0}})
    yield "generate_context", body(generate, {"model": "tiny", "prompt": "y", "context": [1, 3],
                                              "system": "s", "keep_alive": "5m"})
    yield "generate_raw", body(generate, {"model": "tiny", "prompt": "<s>", "raw": True,
                                          "keep_alive": -1, "logprobs": True, "top_logprobs": 2})
    yield "generate_load", body(generate, {"model": "tiny", "keep_alive": 0})
    yield "ollama_chat", body(ollama_chat, {"model": "tiny", "messages": messages,
                                            "keep_alive": "1h30m", "think": False})
    yield "ollama_format", body(ollama_chat, {"model": "tiny", "messages": messages,
                                              "format": "json", "stream": False})
    samplers = {"mirostat": 2, "dry_multiplier": 0.8, "dry_sequence_breakers": ["\n", "ab"],
                "xtc_probability": 0.5, "top_n_sigma": 1, "dynatemp_range": 0.5,
                "samplers": ["penalties", "dry", "top_k", "temperature"]}
    yield "completion_samplers", body(completion, {"prompt": "x", "typical_p": 0.9, **samplers})
    yield "chat_overflow", body(chat, {"messages": messages + [
        {"role": "user", "content": "w" * 600}, {"role": "user", "content": "x"}],
        "context_overflow": "truncate_and_shift", "n_keep": 3, "samplers": "edskypmxt"})
    yield "generate_overflow", body(generate, {"model": "tiny", "prompt": "w" * 600, "raw": True,
                                               "truncate": True, "shift": True,
                                               "options": {"num_keep": 9, **samplers}})
    yield "show", body(show, {"model": "tiny", "verbose": True})
    yield "no_json", chat + "{"
    yield "array", chat + "[]"
    yield "deep", completion + '{"prompt":' + "[" * 70 + "]" * 70 + "}"
    yield "duplicate", completion + '{"prompt":"a","prompt":"b"}'
    yield "surrogate", completion + '{"prompt":"\\ud800"}'
    yield "big_number", completion + '{"prompt":"a","seed":1e300,"max_tokens":99999999999999999999}'
    yield "wrong_types", chat + '{"messages":[{"role":1,"content":{}},null],"n":"2","stream":1}'


def chat():
    roles = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content']|trim }}<|im_end|>\n"
             "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    conversation = json.dumps([{"role": "user", "content": "a {{ b }} <|im_end|>"}])
    tools = json.dumps({
        "messages": [{"role": "assistant", "content": None, "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": [1, 2.5, None, True]}}}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "enable_thinking": False})
    yield "roles", roles
    yield "roles_given", roles + "\0" + conversation
    yield "tools", ("{%- if tools is defined and tools %}{{ tools | tojson(indent=2) }}{% endif -%}"
                    "{% for c in messages[0].tool_calls %}{{ c.function.arguments | tojson }}"
                    "{{ c.function.name ~ loop.index0 }}{% endfor %}\0" + tools)
    yield "namespace", ("{% set ns = namespace(n=0, s='') %}{% for m in messages %}"
                        "{% set ns.n = ns.n + 1 %}{% if loop.last %}{% break %}{% endif %}"
                        "{% if ns.n % 2 == 0 %}{% continue %}{% endif %}"
                        "{% set ns.s = ns.s ~ m.content[::-1] %}{% endfor %}{{ ns.s }}{{ ns.n }}")
    yield "macro", ("{% macro show(m, n=2) %}{{ m.content * n }}{{ caller is defined }}{% endmacro %}"
                    "{{ show(messages[0]) }}{{ show(messages[-1], n=0) }}")
    yield "recursion", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"
    yield "loops", ("{% for a in range(1000) %}{% for b in range(1000) %}{{ b }}{% endfor %}"
                    "{% endfor %}")
    yield "growth", "{% set s = 'ab' %}{% for i in range(40) %}{% set s = s ~ s %}{% endfor %}{{ s }}"
    yield "filters", ("{{ messages | map(attribute='role') | join(', ') | upper }}"
                      "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
                      "{{ messages[0].content.split(' ') | first | replace('a', 'b') | capitalize }}"
                      "{{ '%s %05.2f' | format('a', 1.5) }}{{ 'x' | default('y', true) | int }}")
    yield "slices", "{{ messages[1:][0]['content'][:3] }}{{ (1, 2, 3)[::-1] }}{{ 'abc'[-1] }}"
    yield "tests", ("{{ messages is iterable and messages[0].content is string }}"
                    "{{ none is none }}{{ x is not defined }}{{ 3 is odd }}{{ 'a' in 'abc' }}")
    yield "time", "{{ strftime_now('%d %b %Y %H:%M:%S %j %%') }}"
    yield "raise", "{{ raise_exception('no ' ~ messages[0].role) }}"
    yield "raw", "{% raw %}{{ x }}{% endraw %}{# comment #}{{- ' a ' -}}  b {%- if true -%} c {%- endif %}"
    yield "filter_block", "{% filter upper %}a{% endfilter %}{% set x %}b{{ 1 }}{% endset %}{{ x }}"
    yield "arithmetic", "{{ (7 // 2, 7 % -3, 2 ** 10, 1 / 3, -7 // 2, 1e308 * 10, 5 - -5) }}"
    yield "divide", "{{ 1 // 0 }}"
    yield "unclosed", "{% for m in messages %}{{ m"
    yield "include", "{% include 'x' %}"
    yield "deep", "{{ " + "(" * 200 + "1" + ")" * 200 + " }}"
    yield "deep_if", "{% if 1 %}" * 200 + "{% endif %}" * 200


def tokenizer():
    # First byte: vocabulary (0 pieces, 1 raw BPE, 2 words, then the pre-tokenizer rules by their
    # place among the names); second: odd reads special tokens.
    texts = {
        "words": "Hello hello aaaa caf\u00e9, it's 1234 o'clock",
        "spaces": "  a \t\n\r\n   b\u3000\u2581 ",
        "scripts": "\u4e2d\u6587 \ud55c\uae00 \u0627\u0644 \u0939\u093f \u01c5\u0301 \U0001f642",
        "special": "<s></s><|end|><unk><0x41>[CLS]",
        "marks": "//!?;:'s'LL\u2026\u3002 12345678 3.14 $5",
    }
    for index in range(40):
        name, text = list(texts.items())[index % len(texts)]
        yield f"{index:02}_{name}", bytes([index, index // len(texts) % 2]) + text.encode()
    for index in range(4):
        yield f"bytes_{index}", bytes([index, index % 2]) + b"\xff\xfe\x80a\xc3\xe2\x82\xf0\x9f\x99"
        yield f"run_{index}", bytes([index, 0]) + b"a" * 700 + b" " * 700
    yield "jais_spaces", bytes([80, 0]) + b" " * 1500 + b"a"


def vocabulary():
    def strings(key, values):
        return gguf.array(key, 8, len(values), b"".join(gguf.text(value) for value in values))

    def integers(key, values):
        return gguf.array(key, 5, len(values), struct.pack(f"<{len(values)}i", *values))

    def floats(key, values):
        return gguf.array(key, 6, len(values), struct.pack(f"<{len(values)}f", *values))

    def vocab(model, tokens, types, *more):
        key = "tokenizer.ggml."
        return gguf.build([gguf.pair("general.architecture", 8, gguf.text("llama")),
                           gguf.pair(key + "model", 8, gguf.text(model)),
                           strings(key + "tokens", tokens), integers(key + "token_type", types),
                           *more])

    key = "tokenizer.ggml."
    pieces = ["<unk>", "<s>", "</s>", "<0x41>", "\u2581", "h", "e", "l", "he", "ll", "<|im_end|>", "\n"]
    piece_types = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 4, 4]
    scores = floats(key + "scores", [-float(i) for i in range(len(pieces))])
    specials = [gguf.u32(key + name, value) for name, value in (
        ("bos_token_id", 1), ("eos_token_id", 2), ("unknown_token_id", 0))]
    flags = [gguf.pair(key + name, 7, b"\1") for name in ("add_bos_token", "add_space_prefix")]
    letters = [chr(c) for c in range(0x21, 0x7F)] + ["\u0120", "\u010a", "he", "<|end|>"]
    letter_types = [1] * (len(letters) - 1) + [3]
    merges = strings(key + "merges", ["h e", "he l"])
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581hello", "\u2581a", "a", "##a"]
    yield "pieces", vocab("llama", pieces, piece_types, scores, *specials, *flags)
    yield "no_scores", vocab("llama", pieces, piece_types)
    yield "few_scores", vocab("llama", pieces, piece_types, floats(key + "scores", [0.0]))
    yield "nan_score", vocab("llama", pieces, piece_types,
                             floats(key + "scores", [float("nan")] * len(pieces)))
    for rule in ("gpt-2", "llama-bpe", "qwen2", "deepseek-v3", "gpt-4o", "no-such-rule"):
        yield "bytes_" + rule, vocab("gpt2", letters, letter_types, merges,
                                     gguf.pair(key + "pre", 8, gguf.text(rule)))
    yield "merge_without_space", vocab("gpt2", letters, letter_types, strings(key + "merges", ["he"]))
    yield "words", vocab("bert", words, [3, 3, 3, 3, 1, 1, 1, 1], gguf.u32(key + "cls_token_id", 2),
                         gguf.u32(key + "unknown_token_id", 1))
    yield "raw", vocab("gemma4", pieces, piece_types, merges, *specials)
    yield "duplicate", vocab("llama", ["a", "a"], [1, 1], floats(key + "scores", [0.0, 0.0]))
    yield "byte_range", vocab("llama", ["<0x100>", "<0x-1>"], [6, 6], floats(key + "scores", [0.0, 0.0]))
    yield "eos_outside", vocab("llama", pieces, piece_types, scores, gguf.u32(key + "eos_token_id", 99))
    yield "scores_int8", vocab("llama", pieces, piece_types,
                               gguf.array(key + "scores", 1, len(pieces), bytes(len(pieces))))
    yield "types_float", gguf.build([gguf.pair(key + "model", 8, gguf.text("llama")),
                                     strings(key + "tokens", pieces),
                                     floats(key + "token_type", [1.0] * len(pieces)), scores])
    yield "not_utf8", vocab("llama", ["<unk>", b"\xff\xfe"], [2, 1], floats(key + "scores", [0.0, 0.0]))
    yield "empty", vocab("llama", [], [])


def options():
    yield "usual", 'host = "0.0.0.0"\nport = 8081\nmax_sequences = 4\nthreads = 2\n'
    yield "lists", 'api_key = ["a", "b"]\nverbose = true\ncontext = 4096\n'
    yield "bytes", "512 MiB"
    yield "bytes_fraction", "1.5GB"
    yield "comment", "# nothing\n\n"
    yield "table", "[server]\nport = 1\n"
    yield "inline", "port = { a = 1 }\n"
    yield "date", "port = 1979-05-27T07:32:00Z\n"
    yield "floats", "port = 1e3\nthreads = inf\ncontext = nan\n"
    yield "range", "port = 70000\n"
    yield "unknown", "prot = 1\n"
    yield "twice", "port = 1\nport = 2\n"
    yield "deep", "port = " + "[" * 300 + "]" * 300 + "\n"
    yield "dotted", "a.b.c = 1\n"
    yield "strings", "model = '''a\nb'''\nhost = \"\\u00e9\\t\\\\\"\n"
    yield "integers", "port = 0x1F90\nthreads = 1_0\ncontext = -0\n"
    yield "not_utf8", b"host = \"\xff\"\n"


def hardware():
    full = {"version": 1,
            "cpu": {"vendor": "v", "model": "m", "instruction_sets": ["avx2"],
                    "logical_processors": 2, "caches": [{"level": 1, "bytes": 1024}]},
            "memory": {"total_bytes": 1 << 34}, "gpus": [{"name": "g", "memory_bytes": 1}],
            "measured": {"read_bandwidth_gbs": 32.5, "mapped_read_bandwidth_gbs": 30, "int8_tops": 1.3,
                         "f32_tflops": 0.2, "threads": 2, "date": "2026-01-01T00:00:00Z"},
            "tuned": {"matmul/Q4_K/decode": "cpu.avx512.q4_k"}}
    yield "full", json.dumps(full)
    yield "least", '{"version":1}'
    yield "version", '{"version":2}'
    yield "negative", '{"version":1,"measured":{"int8_tops":-1}}'
    yield "threads", '{"version":1,"measured":{"threads":1e11}}'
    yield "types", '{"version":1,"cpu":[],"measured":{"date":1},"tuned":{"a":1}}'
    yield "numbers", "[0,-0,1e5,1E-5,0.5,18446744073709551615,-9223372036854775808,1e400]"
    yield "strings", '{"version":1,"tuned":{"\\u0000\\ud83d\\ude42\\n":"\\"\\\\\\/\\b"}}'
    yield "mark", b"\xef\xbb\xbf{\"version\":1}"
    yield "deep", "[" * 20 + "]" * 20
    yield "trailing", '{"version":1,}'
    yield "empty", ""


def safetensors():
    def file(header, data, length=None):
        text = header.encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + data

    def entry(name, dtype, shape, begin, end):
        return json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}},
                          separators=(",", ":"))[1:-1]

    a, b = entry("a", "F32", [2, 3], 0, 24), entry("b", "U8", [4], 24, 28)
    meta = '"__metadata__":{"format":"pt"}'
    yield "two", file("{" + a + "," + b + "," + meta + "}  ", b"\x11" * 24 + b"wxyz")
    for dtype, size in (("F16", 2), ("BF16", 2), ("F64", 8), ("F8_E4M3", 1), ("F8_E5M2", 1)):
        yield dtype.lower(), file("{" + entry("x", dtype, [3], 0, 3 * size) + "}", bytes(3 * size))
    yield "scalar", file("{" + entry("s", "I64", [], 0, 8) + "}", bytes(8))
    yield "empty_tensor", file("{" + entry("e", "U8", [0, 4], 0, 0) + "}", b"")
    yield "none", file("{}", b"")
    yield "gap", file("{" + entry("a", "U8", [4], 1, 5) + "}", bytes(5))
    yield "overlap", file("{" + entry("a", "U8", [4], 0, 4) + "," + entry("b", "U8", [4], 2, 6)
                          + "}", bytes(6))
    yield "huge_shape", file("{" + entry("a", "U8", [2**32, 2**32 + 1], 0, 1) + "}", b"x")
    yield "huge_length", file("{}", b"", 2**63)
    yield "long_length", file("{}", b"", 3)
    yield "f4", file("{" + entry("a", "F4", [2], 0, 1) + "}", b"x")
    yield "deep", file('{"a":' + "[" * 20 + "]" * 20 + "}", b"")
    yield "trailing", file("{" + entry("a", "U8", [1], 0, 1) + "}", b"xy")


def checkpoint():
    def message(number, data):
        return bytes([number << 3 | 2, len(data)]) + data

    def piece(text, score, kind):
        return message(1, message(1, text) + b"\x15" + struct.pack("<f", score)
                       + bytes([0x18, kind]))

    pieces = piece(b"<unk>", 0, 2) + piece(b"<s>", 0, 3) + piece(b"<0x41>", 0, 6)
    pieces += piece("\u2581a".encode(), -1, 1)
    yield "pieces", b"m" + pieces + message(2, b"\x18\x02") + message(3, b"\x18\x01\x20\x00")
    yield "pieces_type", b"m" + piece(b"a", 0, 9)
    yield "pieces_length", b"m\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    yield "pieces_group", b"m\x0b"

    def as_json(first, value):
        return first + json.dumps(value, ensure_ascii=False)

    vocab = {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4}
    model = {"type": "BPE", "vocab": vocab, "merges": ["a b", ["ab", "c"]]}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    mark = "\u2581"
    frame = {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "a", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
    yield "bytes", as_json("t", {"model": model, "pre_tokenizer": plain, "post_processor": frame})
    yield "marks", as_json("t", {"model": {**model, "byte_fallback": True}, "added_tokens": [
        {"id": 3, "content": "c", "special": True}], "normalizer": {
            "type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": mark},
                {"type": "Replace", "pattern": {"String": " "}, "content": mark}]}})
    yield "metaspace", as_json("t", {"model": model, "pre_tokenizer": {
        "type": "Metaspace", "replacement": mark, "prepend_scheme": "first", "split": False}})
    yield "digits", as_json("t", {"model": model, "pre_tokenizer": {
        "type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True},
                                              plain]}})
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
              "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
              "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "vocab_size": 8}
    ropes = {"yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
             "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
             "linear": {"factor": 2.0}}
    for kind, rope in ropes.items():
        yield "config_" + kind, as_json("c", {**config, "rope_scaling": {"type": kind, **rope}})
    yield "config_phi3", as_json("c", {
        **config, "architectures": ["Phi3ForCausalLM"], "partial_rotary_factor": 0.5,
        "rope_parameters": {"rope_type": "longrope", "short_factor": [1, 1], "long_factor": [1, 2]},
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}})
    yield "config_moe", as_json("c", {**config, "architectures": ["Qwen3MoeForCausalLM"],
                                      "num_experts": 4, "num_experts_per_tok": 2,
                                      "norm_topk_prob": True, "moe_intermediate_size": 8})
    yield "config_gemma", as_json("c", {**config, "architectures": ["Gemma2ForCausalLM"],
                                        "query_pre_attn_scalar": 6, "quantization_config": {
                                            "quant_method": "fp8", "weight_block_size": [1, 2]}})


def main():
    for subject in (http, api, chat, tokenizer, vocabulary, options, hardware, safetensors,
                    checkpoint):
        out = HERE / f"corpus_{subject.__name__}"
        out.mkdir(exist_ok=True)
        for old in out.iterdir():
            if not old.name.startswith("found_"):
                old.unlink()
        n = 0
        for name, data in subject():
            (out / name).write_bytes(data if isinstance(data, bytes) else data.encode())
            n += 1
        print(n, "seeds in", out.relative_to(HERE))


if __name__ == "__main__":
    main()

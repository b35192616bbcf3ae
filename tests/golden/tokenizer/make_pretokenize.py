#!/usr/bin/env python3
"""Writes pretokenize.json: how Hugging Face tokenizers splits texts by each named rule.

Run: pip install tokenizers && python make_pretokenize.py > pretokenize.json
Every rule is a Sequence of Split(pattern, "isolated"), the patterns as published in the models'
tokenizer files (superbpe and tiny_aya included). The texts are tiny on purpose; the ones marked
random are drawn from an alphabet of awkward characters with a fixed seed.
"""
import json
import random

from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

CONTR = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = CONTR + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL
QWEN2 = CONTR + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL
QWEN35 = CONTR + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL
UP = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOW = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PRE = r"[^\r\n\p{L}\p{N}]?"
GPT4O = (f"{PRE}{UP}*{LOW}+{CONTR}?|{PRE}{UP}+{LOW}*{CONTR}?" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL)
TEKKEN = f"{PRE}{UP}*{LOW}+|{PRE}{UP}+{LOW}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL
YOUTU = (f"{PRE}{UP}*{LOW}+{CONTR}?|{PRE}{UP}+{LOW}*{CONTR}?" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL)
KUP = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KLOW = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI = (r"[\p{Han}]+|" + f"{PRE}{KUP}*{KLOW}+{CONTR}?|{PRE}{KUP}+{KLOW}*{CONTR}?"
        + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL)
MARKS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
CJK = "[一-龥぀-ゟ゠-ヿ]+"
LATIN = "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"
JAIS2 = (CONTR + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         r"\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|"
         r"\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}")

RULES = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "gpt-2": [GPT2],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "llama-bpe": [LLAMA3],
    "jais-2": [JAIS2],
    "minicpm5": [r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")],
    "qwen2": [QWEN2],
    "laguna": [r"[^\n]+|[\n]+", QWEN2],
    "qwen35": [QWEN35],
    "seed-coder": [CONTR + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + TAIL],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "deepseek-llm": ["[\r\n]", "\\s?[" + LATIN + "]+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", CJK, MARKS + r" ?[\p{P}\p{S}]+[\r\n]*|" + TAIL],
    "spark2_5": [r"\p{N}{1,3}", CJK, MARKS + r" ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+", r"\p{N}"],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", YOUTU],
    "tekken": [TEKKEN],
    "gpt-4o": [GPT4O],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O],
    "kimi-k2": [KIMI],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
}

TEXTS = [
    "Hello, World's best! I'LL we've they'RE it'S don't 'twas '",
    "  two  spaces   three \t tab\n\nnew lines \r\n\r\n  indented\n   \n end   ",
    "1 22 333 4444 55555 666666 1,234,567.89 12ab 1234_5 9876543210 ٣٤٥٦ Ⅷ ½ 12345",
    "camelCase HTTPServer iPhone ÀÉÎ straße ǅungla ΑΒΓδε Привет МИР",
    "日本語テキスト、カタカナ。한국어 문장 中文，测试！全角ＡＢＣ１２３ 漢々〇",
    "e\u0301 n\u0303 กำลัง हिन्दी में ক্ষ কী \u0301x مرحبا بالعالم، שלום",
    "🚀 (normal) 😶‍🌫️ 👨‍👩‍👧 🇩🇪 ✅!! ... --- ==>> $5 €9 #tag @you a/b//c\n//\n",
    "x\u00a0y\u2003z\u3000w\u0085v\u200bu\ufefft\u180es",
    "def f(x):\n\treturn x ** 2  # 'square'\n\n\nclass A:\n    pass\n",
    "'\u017f'\u017ft K\u212a we'\u017f",
    "\n", " ", "   ", "\n\n\n", " \n ", "\t \t", "a", "1", "!", "''", " '", "a ", " a", "\r\n \r\n",
    "  中", "   1", "  .", "   '", "a   '",
]


def random_texts():
    rng = random.Random(20240607)
    alphabet = ["a", "b", "Z", "É", "ß", "'", "'s", "'LL", " ", "  ", "\n", "\r\n", "\t", "1", "23",
                "456", "٣", "½", ".", ",", "!", "-", "_", "/", "$", "+", "`", "中", "国", "の", "ア",
                "한", "\u0301", "ि", "🙂", "\u200d", "\u00a0", "\u3000", "，", "。", "(", "|", "々"]
    return ["".join(rng.choice(alphabet) for _ in range(rng.randint(3, 40))) for _ in range(60)]


def main():
    texts = TEXTS + random_texts()
    out = {"texts": texts, "splits": {}}
    for name, patterns in RULES.items():
        pre = Sequence([Split(Regex(p), "isolated") for p in patterns])
        # Lengths in characters of the pieces, in order.
        out["splits"][name] = [[len(piece) for piece, _ in pre.pre_tokenize_str(t)] for t in texts]
    lines = [json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in out["splits"].items()]
    print('{"texts": ' + json.dumps(texts) + ',\n"splits": {\n' + ",\n".join(lines) + "\n}}")


main()

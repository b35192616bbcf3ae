"""/metrics through the parser of the official Prometheus client."""
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def read(url):
    with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def value(families, name, suffix="", **labels):
    for sample in families[name].samples:
        if sample.name == name + suffix and labels.items() <= sample.labels.items():
            return sample.value
    raise AssertionError(f"{name}{suffix} {labels} is missing")


def test_families_and_histograms(url, openai_client, model):
    before = read(url)
    openai_client.completions.create(
        model=model, prompt="Once upon a time", max_tokens=9, extra_body={"ignore_eos": True}
    )
    after = read(url)
    for family in after.values():
        assert family.documentation and family.type in ("counter", "gauge", "histogram")
        assert family.name.startswith("quern_")
    # The parser names a counter without its _total.
    gained = value(after, "quern_completion_tokens", "_total", model=model)
    assert gained - value(before, "quern_completion_tokens", "_total", model=model) == 9
    gaps = "quern_inter_token_latency_seconds"
    assert value(after, gaps, "_count") - value(before, gaps, "_count") == 8
    assert value(after, gaps, "_sum") > value(before, gaps, "_sum")
    for name, family in after.items():
        if family.type != "histogram":
            continue
        buckets = [s for s in family.samples if s.name == name + "_bucket"]
        bounds = [float(s.labels["le"]) for s in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf")
        assert [s.value for s in buckets] == sorted(s.value for s in buckets)
        assert buckets[-1].value == value(after, name, "_count")

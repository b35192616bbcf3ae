"""Clients for a running server whose address is in QUERN_TEST_URL (see run.sh)."""
import json
import os
import time
import urllib.request

import ollama
import openai
import pytest


@pytest.fixture(scope="session")
def url():
    address = os.environ.get("QUERN_TEST_URL")
    if not address:
        pytest.skip("QUERN_TEST_URL is not set: start the tests with run.sh")
    return address.rstrip("/")


@pytest.fixture(scope="session")
def openai_client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=120)


@pytest.fixture(scope="session")
def ollama_client(url):
    return ollama.Client(host=url, timeout=120)


@pytest.fixture(scope="session")
def model(openai_client):
    return openai_client.models.list().data[0].id


@pytest.fixture(scope="session")
def expected_text():
    """What the author of stories260K published: 256 tokens at temperature 0."""
    path = os.environ.get("QUERN_TEST_EXPECTED")
    if not path:
        pytest.skip("QUERN_TEST_EXPECTED is not set: another model than stories260k is served")
    with open(path, encoding="utf-8", newline="") as file:
        return file.read().removesuffix("\n")  # which ends the output of the program, not the text


@pytest.fixture
def running(url):
    """How many sequences the engine is computing, by its metrics."""

    def read():
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("quern_requests_running{"):
                    return int(line.rsplit(" ", 1)[1])
        raise AssertionError("quern_requests_running is missing: " + json.dumps(url))

    return read


@pytest.fixture
def becomes_idle(running):
    def wait(seconds=2.0):
        end = time.monotonic() + seconds
        while running() > 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    return wait

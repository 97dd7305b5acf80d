"""Versions of models: what counts as another one, and what is said of it."""

import pytest

from core.model_versions import Change, Changed, Version, alert_of, changes, differing, listed_version


def ollama(model: str, digest: str) -> Version:
    return Version(model, "ollama", digest, {"size": 5})


def test_a_digest_decides_where_there_is_one() -> None:
    assert differing(ollama("m", "a"), ollama("m", "b")) == ("digest",)
    assert differing(ollama("m", "a"), Version("m", "ollama", "a", {"size": 6})) == ()


def test_facts_are_compared_as_far_as_both_have_them() -> None:
    before = listed_version("m", {"root": "/models/a", "max_model_len": 4096})
    assert differing(before, listed_version("m", {"root": "/models/a", "max_model_len": 4096, "created": 7})) == ()
    assert differing(before, listed_version("m", {"root": "/models/b", "max_model_len": 8192})) == ("max_model_len", "root")
    assert before.digest == listed_version("m", {"max_model_len": 4096, "root": "/models/a"}).digest


def test_versions_of_different_kinds_say_nothing_of_each_other() -> None:
    assert differing(listed_version("m", {"root": "x"}), ollama("m", "b")) == ()


def test_what_came_changed_went_and_came_back() -> None:
    known = {each.model: each for each in (ollama("same", "1"), ollama("other", "2"), ollama("lost", "3"), ollama("away", "4"))}
    seen = [ollama("same", "1"), ollama("other", "9"), ollama("away", "4"), ollama("fresh", "5")]
    assert changes("box", known, ["away"], seen) == [
        Changed("box", "other", "changed", "2", "9", ("digest",)),
        Changed("box", "away", "back", "4", "4"),
        Changed("box", "fresh", "new", after="5"),
        Changed("box", "lost", "gone", before="3"),
    ]


def test_the_first_list_and_an_empty_one_are_no_news() -> None:
    assert changes("box", {}, [], [ollama("m", "1")]) == []
    assert changes("box", {"m": ollama("m", "1")}, [], []) == []
    assert changes("box", {"m": ollama("m", "1")}, ["m"], [ollama("n", "1")]) == [Changed("box", "n", "new", after="1")]


@pytest.mark.parametrize(("change", "severity"), [("new", "info"), ("back", "info"), ("changed", "warning"), ("gone", "warning")])
def test_people_are_told_once_and_together(change: Change, severity: str) -> None:
    alert = alert_of(Changed("box", "qwen3:8b", change, "sha256:" + "a" * 64, "b" * 64), "model-change:7")
    assert (alert.severity, alert.lasting, alert.group, alert.fingerprint) == (severity, False, "models:box", "model-change:7")
    assert alert.service == "model-box/qwen3:8b"
    assert alert.facts["Before"] == "a" * 12


def test_facts_that_differ_are_named() -> None:
    alert = alert_of(Changed("vllm", "m", "changed", "1", "2", ("max_model_len", "root")), "model-change:1")
    assert "max_model_len, root" in alert.text

"""Diagnostics carry everything a person and a program need."""

import json

import pytest

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error


def test_a_diagnostic_reads_as_code_place_message_and_fix():
    told = Diagnostic("RV101", "conv2", "it has 5 axes", "flatten it")
    assert str(told) == "RV101 conv2: it has 5 axes\n     Fix: flatten it"


def test_its_json_has_every_field_and_nothing_else():
    told = Diagnostic("RV101", "conv2", "m", "f", "warning", {"axes": 5, "name": None})
    expected = {
        "code": "RV101",
        "severity": "warning",
        "place": "conv2",
        "message": "m",
        "fix": "f",
        "figures": {"axes": 5, "name": None},
    }
    assert json.loads(json.dumps(told.to_json())) == expected


def test_an_error_shows_all_its_diagnostics():
    first, second = Diagnostic("RV101", "a", "x", "y"), Diagnostic("RV102", "b", "x", "y")
    raised = RanvierError(iter([first, second]))
    assert raised.diagnostics == (first, second)
    assert str(raised) == f"{first}\n{second}"
    assert RanvierError(first).diagnostics == (first,)


def test_an_error_without_a_diagnostic_is_our_own_bug():
    with pytest.raises(AssertionError):
        RanvierError([])


def test_error_turns_keywords_into_figures():
    raised = error("RV103", "layer", "too wide", "split it", width=7)
    assert isinstance(raised, RanvierError)
    assert raised.diagnostics == (Diagnostic("RV103", "layer", "too wide", "split it", "error", {"width": 7}),)

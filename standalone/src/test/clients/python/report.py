"""Runs checks one after the other and prints a line of JSON for each, which the test that started this reads."""

import json
import traceback


def report(checks):
    for check in checks:
        error = None
        try:
            check()
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"check": check.__name__.replace("_", " "), "error": error}), flush=True)


def raises(kind, call, **more):
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        for field, value in more.items():
            assert getattr(error, field) == value, (field, getattr(error, field))
        return
    raise AssertionError("no " + kind.__name__)

"""One family of exceptions, and the suggestion for a name that does not exist."""

import inspect

import pytest

from harkd import errors
from harkd.errors import DataError, HarkdError, LeakError, UsageError, unknown


def test_every_exception_is_of_the_family() -> None:
    own = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert {UsageError, DataError, LeakError} <= set(own)
    for kind in own:
        assert issubclass(kind, HarkdError)
        assert kind.__doc__


def test_the_family_can_be_told_from_bugs_and_usage_from_data() -> None:
    assert not issubclass(HarkdError, ValueError | KeyError | OSError)
    assert issubclass(LeakError, DataError)
    assert not issubclass(UsageError, DataError)
    assert not issubclass(DataError, UsageError)


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("kdd", ["kd", "ce"], "unknown method 'kdd': did you mean 'kd'? (choose from ce, kd)"),
        ("zzz", ["kd", "ce"], "unknown method 'zzz' (choose from ce, kd)"),
        ("", ["kd"], "unknown method '' (choose from kd)"),
        ("dkd", {"dkd2": 1, "kd": 2}, "unknown method 'dkd': did you mean 'dkd2'? (choose from dkd2, kd)"),
    ],
)
def test_the_nearest_name_is_suggested(name: str, choices: list[str], message: str) -> None:
    error = unknown("method", name, choices)
    assert type(error) is UsageError
    assert str(error) == message

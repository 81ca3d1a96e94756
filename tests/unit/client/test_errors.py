"""The client has a class for each problem that the gateway has, and its tree is drawn."""

import inspect
import re

import pytest

import asyncendpoints_client
from asyncendpoints_client import errors
from asyncendpoints_core.common.problem_types import TABLE

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, errors.ClientError) and name[0] != "_"
}


def test_every_problem_of_the_gateway_has_a_class() -> None:
    assert TABLE.keys() <= errors.PROBLEMS.keys()
    for name, kind in errors.PROBLEMS.items():
        assert name == "job-not-found" or kind is not errors.Problem


def test_the_tree_is_drawn_and_exported() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+[a-z]\w+\b", errors.__doc__ or "")) - {"RFC"}
    assert CLASSES.keys() <= drawn
    assert CLASSES.keys() <= set(asyncendpoints_client.__all__)


@pytest.mark.parametrize("name", asyncendpoints_client.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(asyncendpoints_client, name)
    assert name == "__version__" or inspect.getdoc(found)
    if inspect.isclass(found):
        methods = [m for n, m in vars(found).items() if inspect.isfunction(m) and n[0] != "_"]
        assert [m.__name__ for m in methods if not m.__doc__] == []


def test_both_clients_have_the_same_arguments() -> None:
    pairs = [
        (asyncendpoints_client.Client, asyncendpoints_client.AsyncClient),
        (asyncendpoints_client.JobHandle, asyncendpoints_client.AsyncJobHandle),
    ]
    for one, other in pairs:
        names = {name for name in vars(one) if name[0] != "_"} - {"close"}
        assert names == {name for name in vars(other) if name[0] != "_"} - {"aclose"}
        for name in names:
            a, b = getattr(one, name), getattr(other, name)
            if callable(a):
                assert list(inspect.signature(a).parameters) == list(
                    inspect.signature(b).parameters
                )

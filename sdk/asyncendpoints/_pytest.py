"""The pytest plugin: fixtures for tests of endpoints. Imports pytest alone until one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints._testing.app import App
    from asyncendpoints._testing.clock import Clock


@pytest.fixture
def asyncendpoint() -> Callable[..., AbstractAsyncContextManager[App]]:
    """Return `asyncendpoints.testing.running`: `async with asyncendpoint(ep) as app`."""
    from asyncendpoints._testing.app import running

    return running


@pytest.fixture
def asyncendpoint_clock() -> Clock:
    """Return a Clock for `asyncendpoint(ep, clock=asyncendpoint_clock)`."""
    from asyncendpoints._testing.clock import Clock

    return Clock()

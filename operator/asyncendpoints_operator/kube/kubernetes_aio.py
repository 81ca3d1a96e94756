"""The asynchronous part of the Kubernetes client library, without the rest of it.

A package is imported with its parents. `kubernetes` imports its synchronous client with `requests`
and more, and `kubernetes.aio` its dynamic client, streams and watches: 9 MB that the operator does
not use. Both parents are therefore replaced by packages that import their modules on first use. If
the modules that the operator needs cannot be imported that way, or something has imported
`kubernetes` already, they are imported as usual.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Final

_PARENTS: Final = ("kubernetes", "kubernetes.aio")
NEEDED: Final = {
    "client": ("ApiClient", "Configuration", "CoordinationV1Api", "V1Lease", "V1LeaseSpec"),
    "client.exceptions": ("ApiException",),
    "config": ("ConfigException", "list_kube_config_contexts", "load_kube_config"),
}
"""The modules of `kubernetes.aio` that must be importable, and names in them."""


def _add_lazy_parents() -> None:
    """Add the parents; none is left if what is needed cannot be imported from them."""
    try:
        for name in _PARENTS:
            sys.modules[name] = _lazy_package(name)
        for module, names in NEEDED.items():
            for name in names:
                getattr(import_module(f"kubernetes.aio.{module}"), name)
    except (ImportError, AttributeError):
        for name in [one for one in sys.modules if one.partition(".")[0] == "kubernetes"]:
            del sys.modules[name]


def _lazy_package(name: str) -> ModuleType:
    """Return a package whose `__init__` does not run, and whose modules are its attributes."""
    spec = find_spec(name)
    if spec is None:
        raise ImportError(name)

    def imported(attribute: str) -> ModuleType:
        try:
            return import_module(f"{name}.{attribute}")
        except ModuleNotFoundError:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}") from None

    package = module_from_spec(spec)
    vars(package)["__getattr__"] = imported
    return package


if "kubernetes" not in sys.modules:
    _add_lazy_parents()

from kubernetes.aio import client, config  # noqa: E402 - after its parents
from kubernetes.aio.client.exceptions import ApiException  # noqa: E402

__all__ = ["ApiException", "client", "config"]

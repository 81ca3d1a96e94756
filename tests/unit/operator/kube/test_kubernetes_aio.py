"""What importing the operator imports of the Kubernetes client library. Each test is a process."""

import subprocess
import sys

UNUSED = (
    "kubernetes.client.api_client",  # with requests, oauthlib and more
    "kubernetes.config",
    "kubernetes.dynamic",
    "kubernetes.aio.dynamic",
    "asyncendpoints_gateway",
    "asyncendpoints_worker",
    "jsonschema_rs",  # for the first schema
)

REFUSING = """
import sys

class Refusing:
    def find_spec(self, name, path, target=None):
        if name == "kubernetes.aio.client" and "client" not in vars(sys.modules["kubernetes"]):
            raise ImportError(name)

sys.meta_path.insert(0, Refusing())
"""
"""A client library whose asynchronous part relies on what the package above it imports."""


def run(program: str) -> str:
    """Run a program and return what it printed."""
    words = [sys.executable, "-c", program]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout.strip()


def test_the_operator_imports_no_synchronous_client_and_no_other_role() -> None:
    printed = run(
        f"import sys, asyncendpoints_operator.main.operator\n"
        f"print([name for name in {UNUSED} if name in sys.modules])"
    )
    assert printed == "[]"


def test_importing_the_operator_reads_no_certificates_of_the_system() -> None:
    printed = run(
        "import ssl\n"
        "def read(context, *_):\n"
        "    print('read')\n"
        "load, ssl.SSLContext.load_default_certs = ssl.SSLContext.load_default_certs, read\n"
        "import asyncendpoints_operator.main.operator\n"
        "print(ssl.SSLContext.load_default_certs is read)"
    )
    assert printed == "True"  # once more as it was


def test_the_rest_of_the_library_is_imported_on_use() -> None:
    printed = run(
        "import asyncendpoints_operator.kube.kubernetes_aio, kubernetes\n"
        "from kubernetes import watch\n"
        "print(kubernetes.client.V1Pod.__name__, watch.Watch.__name__, hasattr(kubernetes, 'no'))"
    )
    assert printed == "V1Pod Watch False"


def test_a_library_that_is_imported_already_is_used_as_it_is() -> None:
    printed = run(
        "import kubernetes\n"
        "from asyncendpoints_operator.kube.kubernetes_aio import client\n"
        "print(kubernetes.aio.client is client, bool(kubernetes.__version__))"
    )
    assert printed == "True True"


def test_a_library_that_cannot_be_imported_in_part_is_imported_as_a_whole() -> None:
    printed = run(
        f"{REFUSING}\n"
        "from asyncendpoints_operator.kube.kubernetes_aio import client\n"
        "import kubernetes\n"
        "print(kubernetes.aio.client is client, bool(kubernetes.__version__))"
    )
    assert printed == "True True"

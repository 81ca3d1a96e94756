"""The SBOM of an image lists what is installed in it."""

import json
import subprocess
import sys
from importlib.metadata import version

from tools.sbom import debian_packages

from support.paths import ROOT

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 1:2.36-9+deb12u9
Description: GNU C Library
 Version: 0 is not a field here

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def test_it_lists_python_and_its_packages_in_the_same_bytes_each_time() -> None:
    command = [sys.executable, "-", "registry.example:5000/gateway:0.1.0"]
    script = (ROOT / "tools/sbom.py").read_text()
    first, second = (
        subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second
    found = json.loads(first)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["component"]["name"] == "registry.example:5000/gateway:0.1.0"
    components = {each["bom-ref"]: each for each in found["components"]}
    assert len(components) == len(found["components"])
    assert f"pkg:pypi/redis@{version('redis')}" in components
    assert f"pkg:pypi/ruamel-yaml@{version('ruamel.yaml')}" in components
    own = components[f"pkg:pypi/asyncendpoints@{version('asyncendpoints')}"]
    assert own["licenses"] == [{"expression": "Apache-2.0"}]
    assert f"pkg:generic/python@{sys.version.split()[0]}" in components


def test_it_lists_installed_debian_packages() -> None:
    (found,) = debian_packages(STATUS, "debian")
    assert found["name"] == "libc6"
    assert found["purl"] == "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u9?arch=amd64"


def test_an_image_must_be_named() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/sbom.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "usage: sbom.py IMAGE\n"

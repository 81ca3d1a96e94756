"""Print the CycloneDX SBOM of the image that this runs in. Standard library only.

`docker run --rm -i --entrypoint python3 IMAGE - IMAGE < tools/sbom.py`, or `make sbom IMAGE=...`.
It lists what is installed: Python packages, Debian packages and the interpreter.
The same image gives the same bytes.
"""

import importlib.metadata
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG_STATUS = Path("/var/lib/dpkg/status")
Component = dict[str, Any]


def component(name: str, version: str, purl: str, **more: Any) -> Component:
    """Return a component whose reference is its package URL."""
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        **more,
    }


def python_packages(path: list[str]) -> list[Component]:
    """Return what is installed for Python on `path`, in the order of the names."""
    found: dict[str, Component] = {}
    for each in importlib.metadata.distributions(path=path):
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower()
        more: dict[str, Any] = {}
        if "License-Expression" in each.metadata:
            more["licenses"] = [{"expression": each.metadata["License-Expression"]}]
        purl = f"pkg:pypi/{name}@{quote(each.version)}"
        found.setdefault(name, component(name, each.version, purl, **more))
    return [found[name] for name in sorted(found)]


def debian_packages(status: str, distribution: str) -> list[Component]:
    """Return the installed packages of dpkg's status file."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            architecture = fields.get("Architecture", "all")
            purl = f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}?arch={architecture}"
            found.append(component(name, version, purl))
    return sorted(found, key=lambda each: str(each["bom-ref"]))


def document(name: str, components: list[Component]) -> dict[str, Any]:
    """Return the SBOM of the image `name`."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name}},
        "components": components,
    }


def main() -> None:
    """Describe this system under the name in the arguments."""
    if len(sys.argv) != 2:
        sys.exit("usage: sbom.py IMAGE")
    python = platform.python_version()
    found = [component("python", python, f"pkg:generic/python@{python}")]
    found += python_packages(sys.path)
    if DPKG_STATUS.exists():
        release = platform.freedesktop_os_release()
        found += debian_packages(DPKG_STATUS.read_text(), release.get("ID", "debian"))
    json.dump(document(sys.argv[1], found), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

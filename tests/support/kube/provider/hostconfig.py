"""Pass the host's network configuration (certificates, pip settings) to an image build.

They are mounted for the build alone and never end up in an image.
"""

import configparser
import os
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs")
PIP_FILES = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
# Options that name files or folders of the host: mounted at their own path when they exist.
PATH_OPTIONS = ("cert", "client-cert", "find-links")


def pip_variables() -> dict[str, str]:
    """The PIP_* variables of the environment, set ones only."""
    return {key: value for key, value in os.environ.items() if key.startswith("PIP_") and value}


def volumes(scratch: Path) -> list[str]:
    """Options of `buildah bud` that mount certificates and a pip.conf, written into `scratch`."""
    options = []
    mounts = {}
    if CERTIFICATES.is_dir():
        mounts[str(CERTIFICATES)] = str(CERTIFICATES)
    pip = _pip_settings()
    if pip:
        file = scratch / "pip.conf"
        parser = configparser.ConfigParser(interpolation=None)
        parser["global"] = pip
        with file.open("w") as handle:
            parser.write(handle)
        mounts[str(file)] = "/etc/pip.conf"
    for option in PATH_OPTIONS:
        for path in pip.get(option, "").split():
            inside = Path(path).is_relative_to(CERTIFICATES)
            if path.startswith("/") and os.path.exists(path) and not inside:
                mounts[path] = path
    for source, place in mounts.items():
        options += ["--volume", f"{source}:{place}:ro"]
    return options


def clean() -> dict[str, str]:
    """Variables that would change what buildah itself does, emptied."""
    return {"BUILDAH_ISOLATION": "", "STORAGE_DRIVER": "", "BUILDAH_FORMAT": ""}


def _pip_settings() -> dict[str, str]:
    """What pip on this host would use: its files, overridden by the PIP_* variables."""
    settings: dict[str, str] = {}
    for file in PIP_FILES:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(Path(file).expanduser())
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update(parser.items(section))
    for key, value in pip_variables().items():
        if key not in ("PIP_CONFIG_FILE", "PIP_CACHE_DIR", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
            settings[key.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings

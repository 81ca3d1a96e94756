"""A YAML file of endpoints whose comments and layout are kept; needs the extra [export]."""

from __future__ import annotations

import copy
import io
import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.loader import check
from asyncendpoints_core.manifest.yaml_reader import read_documents
from asyncendpoints_core.resource import KIND

if TYPE_CHECKING:
    from pathlib import Path

_FLOW: Final = 4
"""Lists of up to so many short texts are written in one line."""
_RESOLVER: Final = yaml.resolver.Resolver()
_TEXT: Final = "tag:yaml.org,2002:str"


class YamlFile:
    """The documents of a file; `document` may be changed in place and `text()` is the new file."""

    def __init__(self, name: str, text: str) -> None:
        """Parse `text`, of the file `name`. Raises UsageError."""
        self._name = name
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 4_096
        mapping, dash = _indents(text)
        self._yaml.indent(mapping=mapping, sequence=dash + 2, offset=dash)
        self._yaml.explicit_start = text.startswith("---")
        try:
            self._documents = list(self._yaml.load_all(text))
        except YAMLError as error:
            raise UsageError(f"{name}: {str(error).splitlines()[0]}") from error

    @classmethod
    def read(cls, path: Path) -> YamlFile:
        """Read a file. Raises UsageError for what is not YAML."""
        try:
            return cls(str(path), path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"{path}: is not UTF-8 text; save it as UTF-8") from None

    def document(self, endpoint: str) -> CommentedMap:
        """Return the document of an endpoint. Raises UsageError."""
        for each in self._documents:
            if isinstance(each, CommentedMap) and each.get("kind") == KIND:
                metadata = each.get("metadata")
                if isinstance(metadata, CommentedMap) and metadata.get("name") == endpoint:
                    return each
        raise UsageError(f'{self._name}: has no {KIND} named "{endpoint}"')

    def text(self) -> str:
        """Return the file with the changes. Raises UsageError if it would not be valid."""
        into = io.StringIO()
        if len(self._documents) == 1:
            self._yaml.dump(self._documents[0], into)
        else:
            self._yaml.dump_all(self._documents, into)
        text = into.getvalue()
        check_text(self._name, text)
        return text


def _indents(text: str) -> tuple[int, int]:
    """Return how far a file indents nested mappings, and the dashes of lists below their key."""
    mapping = re.search(r"^( *)[\w\"'$-]+:[^\S\n]*\n(?:\1 *#.*\n|\s*\n)*\1( +)[^\s#-]", text, re.M)
    dash = re.search(r"^( *)[\w\"'$-]+:[^\S\n]*(?:#.*)?\n(?:\1 *#.*\n|\s*\n)*\1( *)- ", text, re.M)
    return len(mapping[2]) if mapping else 2, len(dash[2]) if dash else 0


def new_text(document: dict[str, Any], comment: str) -> str:
    """Return a new file with one document below a comment."""
    made = YAML()
    made.width = 4_096
    into = io.StringIO()
    made.dump(styled(document), into)
    text = f"# {comment}\n{into.getvalue()}"
    check_text("the result", text)
    return text


def check_text(name: str, text: str) -> None:
    """Raise UsageError with every fault of a file that is not valid."""
    faults = [
        fault
        for document in read_documents(text, name)
        if document.faults or document.value is not None
        for fault in check(document)[1]
    ]
    if faults:
        raise UsageError("\n".join(fault.render() for fault in faults))


def styled(value: Any) -> Any:
    """Return a value as ruamel.yaml writes it: read alike by every version of YAML."""
    if isinstance(value, dict):
        made = CommentedMap()
        for key, each in value.items():
            made[styled(key)] = styled(each)
        return made
    if isinstance(value, list):
        items = CommentedSeq(styled(each) for each in value)
        if len(items) <= _FLOW and all(isinstance(each, str) and len(each) < 20 for each in value):
            items.fa.set_flow_style()
        return items
    if isinstance(value, str) and _is_ambiguous(value):
        return DoubleQuotedScalarString(value)
    return copy.copy(value)


def _is_ambiguous(text: str) -> bool:
    """Whether a YAML parser may read the plain text as something else: y, no, 012, 1:30."""
    if text.lower() in ("y", "n"):
        return True
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return bool(tag != _TEXT)

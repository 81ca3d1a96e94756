"""What every part of the resource is made of: the strict record and the types its fields share.

Each field carries its limits and a description that teaches; from these come the faults of
`validate`, the CRD's schema, `kubectl explain` and docs/resource.md.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MAX_OBJECT_BYTES: Final = 32_768
"""A pass-through object (affinity, resources, …) as compact JSON."""


class Role(StrEnum):
    """Who reads a field of the spec; every field has at least one, in its `Annotated` type.

    Gateway and worker read theirs from a file at startup, in a cluster from a ConfigMap with just
    these fields. What is marked STORE is written into the store and takes effect without a restart.
    A mark on a record counts for everything in it; `read_by` marks all fields of a class.
    """

    GATEWAY = "gateway"
    WORKER = "worker"
    STORE = "store"
    OPERATOR = "operator"


def alias_of(attribute: str) -> str:
    """Return the resource's name of an attribute: max_body_bytes → maxBodyBytes, list_ → list."""
    return to_camel(attribute.rstrip("_"))


class Record(BaseModel):
    """A frozen part of the resource: strict types, unknown fields refused, camelCase outside.

    In Python it is built with attribute names; documents are read by `AsyncEndpoint.parse`, which
    takes the resource's own names only.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=alias_of,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        ser_json_bytes="utf8",
    )
    read_by: ClassVar[Role | None] = None


def broken(message: str) -> PydanticCustomError:
    """Return the error of a rule of ours, to be raised in a validator at the field it is about."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def broken_around(message: str) -> PydanticCustomError:
    """Return the error of a rule about the record that the field at hand is a part of."""
    return PydanticCustomError("rule_of_parent", "{message}", {"message": message})


# What a pattern means, for people: a fault says this instead of showing the expression.
PATTERNS: Final[dict[str, str]] = {}


def pattern(expression: str, meaning: str) -> str:
    """Register the meaning of a pattern and return the expression."""
    if PATTERNS.setdefault(expression, meaning) != meaning:
        raise ValueError(f"the pattern {expression} means two things")
    return expression


DNS_LABEL: Final = pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    'lower-case letters, digits and "-", beginning and ending with a letter or digit',
)
DNS_SUBDOMAIN: Final = pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    'lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit',
)
SECRET_KEY: Final = pattern(r"^[-._a-zA-Z0-9]+$", 'letters, digits, "-", "_" and "."')
ENV_NAME: Final = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]*$", "letters, digits and _, not beginning with a digit"
)
ABSOLUTE_PATH: Final = pattern(
    r"^/[^:\x00]*$", 'an absolute path without ":", such as /etc/reports'
)
PRINTABLE: Final = pattern(r"^[\x21-\x7e]+$", "printable ASCII without spaces")

Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""A DNS label: the name of a namespace, a volume, a container."""
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
"""The name of a Kubernetes object."""
SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=SECRET_KEY)]
"""The name of an entry of a Secret or ConfigMap."""
EnvName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=ENV_NAME)]
"""The name of an environment variable."""

T = TypeVar("T")

Items = Annotated[tuple[T, ...], Strict(False)]
"""A list in the resource, a tuple in Python."""


def _plain_object(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse a pass-through object that is no JSON or too large to be one by intent."""
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise broken("holds something that is no JSON (text keys, no dates, no NaN)") from None
    if size > MAX_OBJECT_BYTES:
        raise broken(f"is larger than {MAX_OBJECT_BYTES} bytes")
    return value


AnyObject = Annotated[
    dict[str, Any],
    AfterValidator(_plain_object),
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""An object of Kubernetes' own, passed through and checked by the API server, not by us."""

_PERCENT: Final = re.compile(r"^(100|[1-9]?[0-9])%$")


def _int_or_percent(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000:
        return value
    if isinstance(value, str) and _PERCENT.match(value):
        return value
    raise broken('must be a whole number of pods from 0 to 1000, or a share such as "25%"')


IntOrPercent = Annotated[
    int | str,
    PlainValidator(_int_or_percent),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": r"^(1000|[1-9]?[0-9]{1,2}|(100|[1-9]?[0-9])%)$",
        }
    ),
]
"""A number of pods, or a share of them in percent."""

_QUALIFIED_NAME: Final = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_PREFIX: Final = re.compile(DNS_SUBDOMAIN)
_LABEL_VALUE: Final = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

OWN_PREFIX: Final = "asyncendpoints.io/"
"""Labels and annotations with this prefix are the operator's."""


def _check_keys(value: Mapping[str, str]) -> None:
    for key in value:
        prefix, slash, name = key.rpartition("/")
        if (slash and not _PREFIX.match(prefix)) or not _QUALIFIED_NAME.match(name):
            raise broken(f'"{key}" is no name of a label or annotation, such as example.com/team')
        if key.startswith(OWN_PREFIX):
            raise broken(f"{OWN_PREFIX}… belongs to the operator")


def _labels(value: dict[str, str]) -> dict[str, str]:
    _check_keys(value)
    for key, text in value.items():
        if not _LABEL_VALUE.match(text):
            raise broken(f'the value of "{key}" is no label value: letters, digits, "-", "_", "."')
    return value


def _annotations(value: dict[str, str]) -> dict[str, str]:
    _check_keys(value)
    return value


Labels = Annotated[
    dict[
        str,
        Annotated[str, Field(max_length=63, json_schema_extra={"pattern": _LABEL_VALUE.pattern})],
    ],
    Field(max_length=64),
    AfterValidator(_labels),
]
"""Labels, by name."""
Annotations = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=4_096)]],
    Field(max_length=64),
    AfterValidator(_annotations),
]
"""Annotations, by name."""


def unique(what: str, key: Callable[[Any], object] = lambda item: item) -> AfterValidator:
    """Return a check that no two items of a list are the same by `key`."""

    def check(items: tuple[T, ...]) -> tuple[T, ...]:
        seen = set()
        for item in items:
            if key(item) in seen:
                raise broken(f'the {what} "{key(item)}" is there twice')
            seen.add(key(item))
        return items

    return AfterValidator(check)


def exactly_one(record: Mapping[str, object], names: tuple[str, ...], needed: bool = True) -> None:
    """Refuse a record in which not exactly one (or, if not `needed`, more than one) is set.

    To be called by the validator of the last of `names` with the values before it: an invalid one
    is not among them, and then nothing is said, since it has a fault of its own.
    """
    if not all(name in record for name in names):
        return
    present = [alias_of(name) for name in names if record[name] is not None]
    listed = " or ".join(alias_of(name) for name in names)
    if len(present) > 1:
        raise broken_around(f"set {listed}, but only one of them")
    if not present and needed:
        raise broken_around(f"needs {listed}")


class SecretRef(Record):
    """One entry of a Secret in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the resource.")
    key: SecretKey = Field(description="Entry of the Secret that holds the value.")

"""The base class of all records of the resource, and the types that their fields share.

Each field has its limits and a description: the source of the messages of `validate`, the CRD's
schema, `kubectl explain` and docs/resource.md.
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
    ValidationInfo,
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
    """Return an attribute's name in the resource: max_body_bytes → maxBodyBytes, list_ → list."""
    return to_camel(attribute.rstrip("_"))


class Record(BaseModel):
    """A frozen part of the resource: strict types, no unknown fields, camelCase in documents.

    Python code uses attribute names; `AsyncEndpoint.parse` accepts the names of documents only.
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
        defer_build=True,  # each is built with the resource, or at its first use: half the time
        ser_json_bytes="utf8",
    )
    read_by: ClassVar[Role | None] = None


def invalid(message: str) -> PydanticCustomError:
    """Return the error that a validator raises for its field."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def invalid_parent(message: str) -> PydanticCustomError:
    """Return the error that a field's validator raises for the record around the field."""
    return PydanticCustomError("rule_of_parent", "{message}", {"message": message})


# The meaning of each pattern, which error messages show instead of the expression.
PATTERNS: Final[dict[str, str]] = {}


def pattern(expression: str, meaning: str) -> str:
    """Register the meaning of a pattern and return the expression."""
    if PATTERNS.setdefault(expression, meaning) != meaning:
        raise ValueError(f"the pattern {expression} means two things")
    return expression


DNS_LABEL: Final = pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    'lower-case letters, digits and "-", starting and ending with a letter or digit',
)
DNS_SUBDOMAIN: Final = pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    'lower-case letters, digits, "-" and ".", starting and ending with a letter or digit',
)
SECRET_KEY: Final = pattern(r"^[-._a-zA-Z0-9]+$", 'letters, digits, "-", "_" and "."')
ENV_NAME: Final = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]*$", "letters, digits and _, not starting with a digit"
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
"""A key of a Secret or ConfigMap."""
EnvName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=ENV_NAME)]
"""The name of an environment variable."""

T = TypeVar("T")

Items = Annotated[tuple[T, ...], Strict(False)]
"""A list in documents, a tuple in Python."""


def json_value(most: int) -> AfterValidator:
    """Return a validator that a value is JSON of at most `most` bytes."""

    def check(value: Any) -> Any:
        try:
            size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError):
            raise invalid("must be valid JSON: text keys, no dates, no NaN") from None
        if size > most:
            raise invalid(f"must be at most {most} bytes")
        return value

    return AfterValidator(check)


def checked_by(check: Callable[[str], object], message: str = "{}") -> AfterValidator:
    """Return a validator that `check` accepts a text; `message` shows why it raised ValueError."""

    def validate(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise invalid(message.format(error)) from None
        return text

    return AfterValidator(validate)


AnyObject = Annotated[
    dict[str, Any],
    json_value(MAX_OBJECT_BYTES),
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""A Kubernetes object that is passed through; the API server validates it."""

AnyJson = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
"""Any JSON value, which the API server passes through."""

_PERCENT: Final = re.compile(r"^(100|[1-9]?[0-9])%$")


def _int_or_percent(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000:
        return value
    if isinstance(value, str) and _PERCENT.match(value):
        return value
    raise invalid('must be a whole number of pods from 0 to 1000, or a percentage such as "25%"')


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
"""A number of pods, or a percentage of them."""

_QUALIFIED_NAME: Final = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_PREFIX: Final = re.compile(DNS_SUBDOMAIN)
_LABEL_VALUE: Final = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

OWN_PREFIX: Final = "asyncendpoints.io/"
"""The prefix of labels and annotations that is reserved for the operator."""


def _check_keys(value: Mapping[str, str]) -> None:
    for key in value:
        prefix, slash, name = key.rpartition("/")
        if (slash and not _PREFIX.match(prefix)) or not _QUALIFIED_NAME.match(name):
            raise invalid(
                f'"{key}" is not a valid label or annotation key, such as example.com/team'
            )
        if key.startswith(OWN_PREFIX):
            raise invalid(f"the prefix {OWN_PREFIX} is reserved for the operator")


def _labels(value: dict[str, str]) -> dict[str, str]:
    _check_keys(value)
    for key, text in value.items():
        if not _LABEL_VALUE.match(text):
            raise invalid(
                f'the value of "{key}" is not a valid label value: letters, digits, "-", "_", "."'
            )
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


def optional(description: str, **limits: Any) -> Any:
    """Return a field that may be absent, which is None."""
    return Field(default=None, description=description, **limits)


def unique(what: str, key: Callable[[Any], object] = lambda item: item) -> AfterValidator:
    """Return a validator that no two items of a list have the same `key`."""

    def check(items: tuple[T, ...]) -> tuple[T, ...]:
        seen = set()
        for item in items:
            if key(item) in seen:
                raise invalid(f'duplicate {what} "{key(item)}"')
            seen.add(key(item))
        return items

    return AfterValidator(check)


def one_of(*names: str, needed: bool = True) -> AfterValidator:
    """Return a validator that exactly (or, if not `needed`, at most) one of the fields is set.

    It is for the last of `names`, which has `validate_default` if one is needed, and reads the
    values before it. An invalid value is not among them and is reported by itself.
    """
    listed = ", ".join(map(alias_of, names))

    def check(value: T, info: ValidationInfo) -> T:
        others = [info.data[name] for name in names[:-1] if name in info.data]
        if len(others) == len(names) - 1:
            present = sum(each is not None for each in (*others, value))
            if present > 1:
                raise invalid_parent(f"set only one of {listed}")
            if not present and needed:
                raise invalid_parent(f"set one of {listed}")
        return value

    return AfterValidator(check)


class SecretRef(Record):
    """A key of a Secret in the namespace of the resource."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the resource.")
    key: SecretKey = Field(description="Key of the Secret that holds the value.")

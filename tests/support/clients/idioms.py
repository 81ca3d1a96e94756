"""An endpoint in code with the idioms of typing that users of FastAPI know."""

from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from asyncendpoints import Endpoint, JobContext

ep = Endpoint("idioms", worker={"concurrency": 2})
T = TypeVar("T")
Sku = Annotated[str, Field(pattern="^[a-z]+$", max_length=40)]
Positive = Annotated[int, Field(ge=1)]


class Order(BaseModel):
    """Annotated and Field."""

    model_config = ConfigDict(extra="forbid")
    sku: Sku
    count: int = Field(1, ge=1, description="how many")


class Counted(BaseModel):
    """A type with an Annotated name."""

    n: Positive


class Union(BaseModel):
    """A union of plain types, which may be null."""

    value: int | str | None


class Item(BaseModel):
    """One of a page."""

    name: str


class Page(BaseModel, Generic[T]):
    """A generic model."""

    items: list[T]
    total: int


class Priced(BaseModel):
    """Another name in JSON, in both directions."""

    unit_price: float = Field(alias="unitPrice")


class Receipt(BaseModel):
    """Another name in results alone."""

    total_price: float = Field(serialization_alias="totalPrice")


class Cat(BaseModel):
    """A pet."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """Another pet."""

    kind: Literal["dog"]
    loud: bool = False


class Owner(BaseModel):
    """A discriminated union."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Colour(Enum):
    """An enumeration."""

    RED = "red"
    GREEN = "green"


class Painted(BaseModel):
    """A member of an enumeration."""

    colour: Colour


class Tree(BaseModel):
    """A model that contains itself."""

    children: list["Tree"] = []


@ep.post("/orders/{customer}")
def place_order(order: Order, job: JobContext) -> Order:
    """Return the order."""
    return order


@ep.post("/counts")
def count(body: Counted) -> Positive:
    """Return a number that is named by an alias."""
    return body.n


@ep.post("/unions")
def unite(body: Union) -> Union:
    """Return the union."""
    return body


@ep.post("/pages")
def turn(body: Page[Item]) -> Page[Item]:
    """Return the page with one item more."""
    return Page(items=[*body.items, Item(name="last")], total=body.total + 1)


@ep.post("/aliases")
def price(body: Priced) -> Receipt:
    """Return twice the price."""
    return Receipt(total_price=body.unit_price * 2)


@ep.post("/pets")
def own(body: Owner) -> Cat | Dog:
    """Return the pet."""
    return body.pet


@ep.post("/enums")
def paint(body: Painted) -> Colour:
    """Return the colour."""
    return body.colour


@ep.post("/trees")
def grow(body: Tree) -> Tree:
    """Return the tree below another."""
    return Tree(children=[body])

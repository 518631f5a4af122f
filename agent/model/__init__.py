"""The data model, free of I/O: frozen dataclasses."""

from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class _Dataclass(type):
    def __new__(
        cls, name: str, bases: tuple[type, ...], body: dict[str, Any], *, order: bool = False, **more: Any
    ) -> Any:
        made: Any = super().__new__(cls, name, bases, body, **more)
        if "__slots__" in body:
            return made  # to give it slots, `dataclass` makes each class a second time
        return dataclass(frozen=True, slots=True, kw_only=True, order=order)(made)


class Frozen(metaclass=_Dataclass):
    """The base of records: each class below it is a frozen dataclass with slots and keyword arguments."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class Deriving(Frozen):
    """The base of records with cached properties: what follows from a record alone is kept as long as it is."""

    __slots__ = ("__dict__",)

"""The section `routes` of `ae_config.yaml`: conditions, inputs, and what is done then."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from dicom_ai_node.config.values import (
    DestinationName,
    Keyword,
    KeywordOrIf,
    KindName,
    ModelName,
    Name,
    Option,
    OutputName,
    Pattern,
    RouteName,
    Seconds,
    Section,
    Text,
    Texts,
)

NEEDS_WHEN = "needs `when` ({} takes every series), or `inputs` if the model takes several"


class ConditionEntry(Section):
    """A condition that is more than a list of values. Exactly one kind at a time."""

    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    contains: Texts | None = Field(None, description="one of these texts, whatever the case")
    matches: Pattern | None = Field(None, description="the whole value, whatever the case")
    one_of: Texts | None = None
    absent: bool | None = None
    present: bool | None = None
    not_: "ConditionValue | None" = Field(None, alias="not")

    @model_validator(mode="after")
    def _one_kind(self) -> "ConditionEntry":
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("must not be empty")
        kinds = self.model_fields_set - {"min", "max"}
        is_range = bool(self.model_fields_set & {"min", "max"})
        if len(kinds) + is_range != 1:
            raise ValueError(
                "must be exactly one of min/max, contains, matches, one_of, absent, present, not"
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}")
        return self


def _shape(said: Any) -> str:  # noqa: ANN401 - anything can stand in a YAML file
    match said:
        case dict() | ConditionEntry():
            return "(condition)"
        case list() | tuple():
            return "(values)"
        case _:
            return "(value)"


ConditionValue = Annotated[
    Annotated[Text, Tag("(value)")]
    | Annotated[Annotated[tuple[Text, ...], Field(min_length=1)], Tag("(values)")]
    | Annotated[ConditionEntry, Tag("(condition)")],
    Discriminator(_shape),
]
"""A value, a list of values any of which will do, or a `ConditionEntry`."""

ConditionEntry.model_rebuild()


def _write_list(said: Any) -> Any:  # noqa: ANN401
    return [said] if isinstance(said, str) else said


class RouteEntry(Section):
    """When this holds, run that model, write these objects, send them there."""

    name: RouteName
    when: dict[Keyword, ConditionValue] | None = Field(
        None, description="conditions on the one input; {} takes every series"
    )
    if_: str | None = Field(None, alias="if", description="a CEL expression that must hold as well")
    inputs: dict[Name, dict[KeywordOrIf, ConditionValue]] | None = Field(
        None, description="conditions per named input, instead of `when`; `if` may be among them"
    )
    same: Annotated[tuple[Keyword, ...], BeforeValidator(_write_list)] = Field(
        (), description="keywords whose values must be the same in all inputs"
    )
    run: KindName
    model: ModelName
    with_: dict[str, Option] = Field(default_factory=dict, alias="with")
    guard: Literal["warn", "purify", "refuse", "off"] | None = Field(
        None,
        description="what to do with an input that the guard of the model takes for manipulated"
        " or unlike its training data; without it: warn, if the model has a guard",
    )
    report_declined: bool = Field(
        default=False,
        description="where the model declines its input, a structured report says so",
    )
    compare_earlier: bool = Field(
        default=False,
        description="measurements are compared with those of earlier studies of the same patient",
    )
    write: Annotated[tuple[OutputName, ...], BeforeValidator(_write_list)] = Field(min_length=1)
    to: Annotated[tuple[DestinationName, ...], BeforeValidator(_write_list)] = Field(
        description="destinations; [] keeps the results inside"
    )
    priority: Literal["stat", "high", "routine"] = "routine"
    wait_seconds: Seconds = Field(1800.0, description="for the other inputs")

    @model_validator(mode="after")
    def _says_when(self) -> "RouteEntry":
        if self.when is None and self.inputs is None:
            raise ValueError(NEEDS_WHEN)
        return self

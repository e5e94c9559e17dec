"""What a component of a schedule can be given: models whose fields are the keys of the YAML file."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
ParameterName = Annotated[str, AfterValidator(lambda name: name.removeprefix("module."))]
"""The name of a weight or bias; old schedules write the prefix that DataParallel gave to all of them."""
ParameterNames = Annotated[list[ParameterName], Field(min_length=1)]


class Settings(BaseModel):
    """Keys and values of a part of a schedule; no other keys are allowed, and no value is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

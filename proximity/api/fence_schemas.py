"""What the doors for fences and positions answer."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from proximity.api.schemas import Geometry


class FenceFeature(BaseModel):
    """A fence as GeoJSON; of a circle the geometry is its centre, and `radius` (m) is among the properties."""

    type: Literal["Feature"] = "Feature"
    id: str
    properties: dict[str, Any]
    geometry: Geometry


class FenceCollection(BaseModel):
    """A page of fences."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[FenceFeature]
    next: str | None = Field(description="Give it as `after` to read on; null: there is no more.")


class FencesPut(BaseModel):
    """What was put in force."""

    site: str
    put: int


class FencesRemoved(BaseModel):
    """What was taken away."""

    site: str
    removed: int


class RowProblem(BaseModel):
    """A row that was refused."""

    row: int = Field(description="Its index, from 0; of NDJSON the line's, empty lines not counted.")
    reason: str = Field(description="The key that is wrong, or `json`, `shape` or `position`.")
    message: str


class PositionsOut(BaseModel):
    """What became of the rows. Refused ones are told up to the hundredth; `refused` counts all of them."""

    accepted: int = Field(description="Rows that are committed.")
    unknown: int = Field(description="Rows of devices that nobody who agreed carries; dropped without a trace.")
    refused: int
    errors: list[RowProblem]

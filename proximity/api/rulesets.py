"""The life of rule sets: versions that are published, approved and rolled back, and rules that are paused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from proximity.api.problems import ProblemError, problem_response, responses
from proximity.api.security import Context, operator_only
from proximity.api.values import Body, Limit, Line
from proximity.errors import ConfigurationError
from proximity.store import rulesets
from proximity.store.rulesets import RefusedError, UnknownError, Version

router = APIRouter(tags=["rules"], dependencies=operator_only)
MOST_TOLD = 100  # errors in one answer

Person = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1F\x7F]+$", min_length=1, max_length=64),
    Field(description="Who does it, for the log.", examples=["ada"]),
]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,200}$")]
FileText = Annotated[str, StringConstraints(max_length=4 << 20)]
VersionKey = Annotated[
    str,
    Path(pattern=r"^[a-z0-9]+$", max_length=32, description="A version's id, its beginning, or `previous`."),
]
RuleKey = Annotated[str, Path(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=64, description="A rule's id.")]


class NewRules(Body):
    """All files of a set; what is not in it is no longer in force."""

    author: Person
    note: Line = ""
    files: Annotated[dict[FileName, FileText], Field(min_length=1, max_length=1000)] = Field(
        description="Text by name, as `rules/coffee.rules.yaml`."
    )


class ByBody(Body):
    """Who does it."""

    by: Person


class BackBody(ByBody):
    """Who does it, and why."""

    note: Line = ""


class RuleVersion(BaseModel):
    """A set of rules."""

    id: str = Field(description="The hash of its texts.")
    author: str = Field(description="`folder`: it was read from the configuration folder.")
    created: float
    note: str
    state: str = Field(description="review: waits for a second person; live: in force; past: it was.")
    loaded: float | None = Field(description="When it last came into force.")


class RuleTexts(RuleVersion):
    """A set of rules with its texts."""

    files: dict[str, str]


class RuleChange(BaseModel):
    """Somebody did something."""

    number: int
    at: float
    action: str = Field(description="load, submit, publish, approve, rollback, follow, pause or resume.")
    actor: str
    version: str | None
    rule: str | None
    note: str


class PausedRule(BaseModel):
    """Who has stopped a rule."""

    by: str
    at: float


class RuleVersions(BaseModel):
    """What is in force, and how it came to that."""

    current: str | None
    pinned: bool = Field(description="Until somebody follows the folder again.")
    approval: bool = Field(description="New rules need a second person.")
    folder: str = Field(description="The version that the configuration folder's texts are.")
    detail: str | None = Field(description="Why the folder's rules are not in force; null: they are.")
    paused: dict[str, PausedRule]
    versions: list[RuleVersion]
    changes: list[RuleChange]


class RulesDone(BaseModel):
    """It is done, and in force."""

    current: str | None
    pinned: bool
    paused: list[str]


@router.post("/rulesets", responses=responses(400, 401, 409, 413, 422), status_code=201, response_model=RuleVersion)
def publish_rules(request: Request, context: Context, body: NewRules) -> Response | RuleVersion:
    """Put rules in force, or let them wait for a second person where one is demanded. With a mistake in them, nothing
    happens, and every mistake is told."""
    try:
        with _told():
            return _out(context.live.rulebook.publish(body.files, author=body.author, note=body.note))
    except ConfigurationError as error:
        return _wrong(request, error)


@router.get("/rulesets", responses=responses(401, 422))
def list_rule_versions(context: Context, limit: Limit = 100) -> RuleVersions:
    """All versions, and the latest changes."""
    return RuleVersions.model_validate(msgspec.to_builtins(context.live.rulebook.overview(limit)))


@router.get("/rulesets/{version}", responses=responses(401, 404, 422))
def show_rule_version(context: Context, version: VersionKey) -> RuleTexts:
    """A version with its texts."""
    with _told():
        found = rulesets.version(context.store, version)
    return RuleTexts(**_out(found).model_dump(), files=rulesets.files(context.store, found.id))


@router.post("/rulesets/{version}/approve", responses=responses(401, 404, 409, 422), response_model=RuleVersion)
def approve_rules(request: Request, context: Context, version: VersionKey, body: ByBody) -> Response | RuleVersion:
    """Agree to a version that waits. Who wrote it cannot."""
    try:
        with _told():
            return _out(context.live.rulebook.approve(version, by=body.by))
    except ConfigurationError as error:
        return _wrong(request, error)


@router.post("/rulesets/{version}/rollback", responses=responses(401, 404, 409, 422), response_model=RuleVersion)
def roll_rules_back(request: Request, context: Context, version: VersionKey, body: BackBody) -> Response | RuleVersion:
    """Put a version in force again that was so before."""
    try:
        with _told():
            return _out(context.live.rulebook.roll_back(version, by=body.by, note=body.note))
    except ConfigurationError as error:
        return _wrong(request, error)


@router.post("/rules/follow", responses=responses(401, 409, 422))
def follow_folder(context: Context, body: ByBody) -> RulesDone:
    """Give the rules back to the configuration folder."""
    with _told():
        context.live.rulebook.follow(by=body.by)
    return _done(context)


@router.post("/rules/{rule}/pause", responses=responses(401, 404, 409, 422))
def pause_rule(context: Context, rule: RuleKey, body: ByBody) -> RulesDone:
    """Stop a rule at once."""
    with _told():
        context.live.rulebook.pause(rule, by=body.by)
    return _done(context)


@router.post("/rules/{rule}/resume", responses=responses(401, 404, 409, 422))
def resume_rule(context: Context, rule: RuleKey, body: ByBody) -> RulesDone:
    """Let a paused rule go on."""
    with _told():
        context.live.rulebook.resume(rule, by=body.by)
    return _done(context)


@contextmanager
def _told() -> Iterator[None]:
    """What is not there, and what cannot be done, as problems."""
    try:
        yield
    except UnknownError as error:
        raise ProblemError(404, str(error)) from None
    except RefusedError as error:
        raise ProblemError(409, str(error)) from None


def _out(version: Version) -> RuleVersion:
    return RuleVersion(**msgspec.structs.asdict(version))


def _done(context: Context) -> RulesDone:
    now = rulesets.standing(context.store)
    return RulesDone(current=now.version, pinned=now.pinned, paused=sorted(now.paused))


def _wrong(request: Request, error: ConfigurationError) -> Response:
    mistakes = [one for one in error.diagnostics if one.severity == "error"]
    errors = [
        {"where": f"{one.mark.file}:{one.mark.line}:{one.mark.column}"[:200],
         "message": f"{one.code}: {one.message}{f' ({one.hint})' if one.hint else ''}"[:300]}
        for one in mistakes[:MOST_TOLD]
    ]  # fmt: skip
    detail = f"Nothing was changed: {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''} in the rules."
    return problem_response(request, 422, detail, errors=errors)

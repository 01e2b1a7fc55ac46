"""The registry: name, function and checked arguments of every operation."""

import asyncio
import functools
import inspect
import json
import types
import typing
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar, overload

import pydantic
import pydantic_core

from jackcapture.catalog import Catalog
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.disk_watch import DiskWatch
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.patient_reads import PatientReads
from jackcapture.control.result_json import as_json
from jackcapture.control.retention import RetentionKeeper
from jackcapture.control.sessions.life_cycle import Sessions
from jackcapture.control.sessions.requests import Requests
from jackcapture.control.sessions.suggestions import Suggestions
from jackcapture.control.slices.slicer import Slicer
from jackcapture.control.streams import Streams
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.progress import Progress
from jackcapture.protocol.messages import EngineState
from jackcapture.settings import Settings
from jackcapture.store import Store

Result = TypeVar("Result")
Function = Callable[..., Awaitable[Any]]


class Services(Protocol):
    """What operations work with."""

    settings: Settings
    store: Store
    catalog: Catalog
    contents: Contents
    slicer: Slicer
    supply: ChunkSupply
    streams: Streams
    sessions: Sessions
    requests: Requests
    suggestions: Suggestions
    retention: RetentionKeeper
    link: EngineLink
    reads: PatientReads
    disks: DiskWatch
    cutting: Executor
    started_at_ns: int

    async def engine_state(self) -> EngineState:
        """Ask the engine for its state, streams included; raises `UnreachableError`."""

    def end_soon(self) -> None:
        """End control in order, after the reply is sent."""

    def is_ending(self) -> bool:
        """Tell whether control is about to end, so that long work should; on any thread."""


def _goes_on() -> None:
    """Check a call that nobody can cancel."""


@dataclass(frozen=True, slots=True)
class Context:
    """One call: the services, where to tell how far it has come, and the check whether it is to go on.

    `progress` and `check` raise `OperationCancelledError` once the call was cancelled, if its operation is cancellable;
    on any thread.
    """

    services: Services
    progress: Progress
    check: Callable[[], None] = _goes_on

    async def cut(self, work: Callable[[], Result]) -> Result:
        """Do work that blocks on a thread for it; it is not begun if the call was cancelled while it waited for one."""

        def begin() -> Result:
            self.check()
            return work()

        return await asyncio.get_running_loop().run_in_executor(self.services.cutting, begin)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as doors see it."""

    name: str
    function: Function
    arguments: type[pydantic.BaseModel]
    help: str
    cancellable: bool = False


_NAMED = 5  # of many unknown arguments


class _FailFast(pydantic.FailFast):
    __hash__ = object.__hash__  # a union hashes its parts


OPERATIONS: dict[str, Operation] = {}


@overload
def operation(function: Function) -> Function: ...


@overload
def operation(*, cancellable: bool) -> Callable[[Function], Function]: ...


def operation(
    function: Function | None = None, *, cancellable: bool = False
) -> Function | Callable[[Function], Function]:
    """Register a function as the operation of its name.

    One that is `cancellable` tells its progress, or checks, at every step, and undoes its work when that raises. All
    others go on to their end, whatever their client does: a stream that is half started helps nobody.
    """
    if function is None:
        return functools.partial(_register, cancellable=cancellable)
    return _register(function, cancellable=cancellable)


def _register(function: Function, *, cancellable: bool) -> Function:
    name = function.__name__
    _, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        parameter.name: (
            _failing_fast(parameter.annotation),
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters
    }
    config = pydantic.ConfigDict(extra="forbid", strict=True)
    arguments = pydantic.create_model(f"{name}_arguments", __config__=config, **fields)
    OPERATIONS[name] = Operation(name, function, arguments, inspect.getdoc(function) or "", cancellable)
    return function


def is_cancellable(name: str) -> bool:
    """Tell whether calls of the operation `name` can be cancelled; False also if there is none."""
    return name in OPERATIONS and OPERATIONS[name].cancellable


async def call(context: Context, name: str, arguments: str) -> str:
    """Do the operation `name` with a JSON object of arguments and give its result as JSON.

    Raises the errors of jackcapture.errors; `NotFoundError` for an unknown name, `InvalidValueError` for arguments
    that do not fit.
    """
    found = OPERATIONS.get(name)
    if found is None:
        raise NotFoundError(f"no operation {name!r}; there are {', '.join(sorted(OPERATIONS))}", name=name)
    _check_names(found, arguments or "{}")
    try:
        checked = found.arguments.model_validate_json(arguments or "{}")
    except pydantic.ValidationError as error:
        raise InvalidValueError(f"{name}: {_explain(error)}", operation=name) from None
    values = {field: getattr(checked, field) for field in found.arguments.model_fields}
    result = await found.function(context, **values)
    return json.dumps(as_json(result))


def _check_names(found: Operation, arguments: str) -> None:
    """Refuse very many arguments that the operation does not have, before pydantic makes an error of each."""
    try:
        given = pydantic_core.from_json(arguments)
    except ValueError:
        return  # which pydantic explains
    unknown = [name for name in given if name not in found.arguments.model_fields] if isinstance(given, dict) else []
    if len(unknown) > _NAMED:
        named = ", ".join(repr(name[:80]) for name in unknown[:_NAMED])
        raise InvalidValueError(
            f"{found.name}: {named} and {len(unknown) - _NAMED} more arguments are not permitted; there are "
            f"{', '.join(found.arguments.model_fields) or 'none'}",
            operation=found.name,
        )


def _failing_fast(annotation: Any) -> Any:
    """Have a list end its check at the first item that is wrong."""
    if typing.get_origin(annotation) is list:
        return Annotated[annotation, _FailFast()]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return typing.Union[tuple(_failing_fast(part) for part in typing.get_args(annotation))]  # noqa: UP007
    return annotation


def _explain(error: pydantic.ValidationError) -> str:
    reasons = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "arguments"
        given = "" if problem["type"] in ("missing", "json_invalid") else f" (given: {str(problem['input'])[:80]!r})"
        reasons.append(f"{where}: {problem['msg']}{given}")
    return "; ".join(reasons)

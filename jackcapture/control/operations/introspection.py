"""The operation that tells of all operations: what other doors need to offer them without knowing them."""

import functools
import inspect
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from jackcapture.control.operations.registry import OPERATIONS, Context, Operation, operation
from jackcapture.control.result_json import shown_name
from jackcapture.model.operation_results import OperationDescription


@operation
async def operation_list(context: Context) -> tuple[OperationDescription, ...]:
    """Give every operation with its help and the JSON schemas of its arguments and its result, by name."""
    return describe_operations()


@functools.cache
def describe_operations() -> tuple[OperationDescription, ...]:
    """Describe all operations, by name; needs no running control."""
    return tuple(_described(OPERATIONS[name]) for name in sorted(OPERATIONS))


def _described(found: Operation) -> OperationDescription:
    annotation = inspect.signature(found.function, eval_str=True).return_annotation
    result = pydantic.TypeAdapter(annotation).json_schema(mode="serialization", schema_generator=_Untitled)
    arguments = found.arguments.model_json_schema(schema_generator=_Untitled)
    arguments.pop("title", None)
    return OperationDescription(found.name, found.help, found.cancellable, arguments, _with_shown_names(result))


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Tell that it should not."""
        return False

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        """Give the schema of a result: its fields are always all there."""
        found = super().dataclass_schema(schema)
        if self.mode == "serialization" and "properties" in found:
            found["required"] = list(found["properties"])
        return found

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> dict[str, Any]:
        """Generate the schema, without the title of its root."""
        found = super().generate(schema, mode)
        found.pop("title", None)
        return found


def _with_shown_names(schema: Any) -> Any:
    """Rename the fields in a schema as `as_json` renames them in a result."""
    if isinstance(schema, list):
        return [_with_shown_names(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _with_shown_names(value) for key, value in schema.items()}
    if isinstance(changed.get("properties"), dict):
        changed["properties"] = {shown_name(key): value for key, value in changed["properties"].items()}
        if "required" in changed:
            changed["required"] = [shown_name(name) for name in changed["required"]]
    return changed

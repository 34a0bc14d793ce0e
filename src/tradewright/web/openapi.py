"""How the OpenAPI document is made from the code, where Quart-Schema would leave something out."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from quart_schema import DataSource, OpenAPIProvider
from werkzeug.routing import Rule

from tradewright.web.coverage_models import BarFile
from tradewright.web.models import ProblemDocument

JsonSchema = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_FILE_TYPES: Final = ("text/csv", "application/vnd.apache.parquet")


class StrictOpenAPIProvider(OpenAPIProvider):
    """Says which parameters are required, under which type errors are sent and that every call may end in
    one, and defines every schema that it refers to."""

    def build_paths(self, rule: Rule) -> tuple[JsonSchema, JsonSchema]:
        paths, definitions = super().build_paths(rule)
        error, error_definitions = self.build_response_object(ProblemDocument, None)
        for operation in (operation for path in paths.values() for operation in path.values()):
            known = {str(status): response for status, response in operation["responses"].items()}
            operation["responses"] = known | {"default": error}
        return paths, definitions | error_definitions

    def build_querystring_parameters(self, model: Any) -> tuple[list[JsonSchema], JsonSchema]:
        parameters, definitions = super().build_querystring_parameters(model)
        required = {field.name for field in msgspec.structs.fields(model) if field.required}
        for parameter in parameters:
            parameter["required"] = parameter["name"] in required
            parameter["schema"] = _given(parameter["schema"])
        return parameters, definitions

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[JsonSchema, JsonSchema]:
        response, _ = super().build_response_object(model, headers_model)
        if model is BarFile:
            file = {"schema": {"type": "string", "format": "binary"}}
            return response | {"content": dict.fromkeys(_FILE_TYPES, file)}, {}
        reference, definitions = _components(model)
        content_type = "application/problem+json" if model is ProblemDocument else "application/json"
        return response | {"content": {content_type: {"schema": reference}}}, definitions

    def build_request_body(self, model: Any, source: DataSource) -> tuple[JsonSchema, JsonSchema]:
        body, _ = super().build_request_body(model, source)
        reference, definitions = _components(model)
        for content in body["content"].values():
            content["schema"] = reference
        return body | {"required": True}, definitions


def _components(model: Any) -> tuple[JsonSchema, JsonSchema]:
    """A reference to the model's schema, and the definitions of it and of all that it refers to."""
    (reference,), definitions = msgspec.json.schema_components([model], ref_template=_REFERENCE)
    return reference, definitions


def _given(schema: JsonSchema) -> JsonSchema:
    """The schema of a parameter that is there: a query has no null, one leaves the parameter out."""
    if "anyOf" not in schema:
        return schema
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    return cast(JsonSchema, choices[0]) if len(choices) == 1 else {"anyOf": choices}

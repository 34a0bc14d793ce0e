"""How the OpenAPI document is made from the code, where Quart-Schema would leave something out."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from quart_schema import OpenAPIProvider

from tradewright.web.models import ProblemDocument

JsonSchema = dict[str, Any]


class StrictOpenAPIProvider(OpenAPIProvider):
    """Says which parameters are required, and under which type errors are sent."""

    def build_querystring_parameters(self, model: Any) -> tuple[list[JsonSchema], JsonSchema]:
        parameters, definitions = super().build_querystring_parameters(model)
        required = {field.name for field in msgspec.structs.fields(model) if field.required}
        for parameter in parameters:
            parameter["required"] = parameter["name"] in required
            parameter["schema"] = _given(parameter["schema"])
        return parameters, definitions

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[JsonSchema, JsonSchema]:
        response, definitions = super().build_response_object(model, headers_model)
        if model is ProblemDocument:
            response["content"] = {"application/problem+json": response["content"]["application/json"]}
        return response, definitions


def _given(schema: JsonSchema) -> JsonSchema:
    """The schema of a parameter that is there: a query has no null, one leaves the parameter out."""
    if "anyOf" not in schema:
        return schema
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    return cast(JsonSchema, choices[0]) if len(choices) == 1 else {"anyOf": choices}

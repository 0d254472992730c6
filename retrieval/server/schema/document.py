"""Parameters, bodies, responses and errors, as the OpenAPI document describes them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Header
from fastapi import Path as PathParameter

from retrieval.server.schema.answers import ErrorAnswer

Responses: TypeAlias = dict[int | str, dict[str, Any]]
SegmentId = Annotated[int, PathParameter(ge=1, lt=2**63)]
ByteRange = Annotated[str | None, Header(alias="Range", description="Such as bytes=0-499.")]
RangeEtag = Annotated[str | None, Header(alias="If-Range", description="The ETag that the range is of.")]
Etag = Annotated[str | None, Header(alias="If-None-Match", description="The ETag of an earlier answer.")]

BINARY = {"type": "string", "format": "binary"}
NOT_FOUND: Responses = {404: {"description": "No such segment, file or picture."}}
UNKNOWN_OPERATOR: Responses = {422: {"description": "No such filter or operator; lists those that exist."}}
NO_BODY: Responses = {304: {"description": "The client has it already."}}
COMMON_ERRORS = {
    "400": "An invalid value, with the column in a query if it is known.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from another site, or its Host is not that of the server.",
    "429": "Too many wrong tokens.",
    "503": "More calls are waiting than the limit; Retry-After is the seconds to wait.",
}
BODY_ERRORS = {"408": "The body did not arrive in time.", "413": "The body is too large."}


def with_json(shape: object, *, is_found: bool = False) -> Responses:
    """Return the documented responses of a route that answers with JSON; `is_found`: or with 404."""
    return {200: {"model": shape}} | (NOT_FOUND if is_found else {})


def with_content(*types: str, schema: Mapping[str, str] = BINARY) -> dict[str, Any]:
    """Return the documentation of a response with content of one of some media types."""
    return {"description": "The content.", "content": {each: {"schema": dict(schema)} for each in types}}


def json_body(required: Sequence[str] = (), /, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the documentation of a JSON body that the route parses itself."""
    shape = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"content": {"application/json": {"schema": shape}}}}


def add_errors(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the errors that all routes share to the schema of an application, and return it."""
    schemas = schema["components"]["schemas"]
    schemas |= {"ErrorAnswer": ErrorAnswer.model_json_schema()}
    for unused in ("HTTPValidationError", "ValidationError"):  # of FastAPI, which does not answer here
        schemas.pop(unused, None)
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            errors = COMMON_ERRORS | (BODY_ERRORS if method == "post" else {})
            for status, description in errors.items():
                responses.setdefault(status, {"description": description, "content": content})
            for status, response in responses.items():
                if status[0] in "45":
                    response.setdefault("content", content)
    return schema

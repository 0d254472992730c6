"""Answer errors as JSON, without tracebacks."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from retrieval.errors import ClewError, LibraryError, QueryError, QuerySyntaxError
from retrieval.formatting import to_json

log = logging.getLogger("clew.server")


class Busy(ClewError):
    """More calls are waiting than the limit."""

    def __init__(self) -> None:
        super().__init__("The server is busy. Try again in a second.")


class NotFound(ClewError):
    """A segment, file or picture that does not exist, or not any more."""


class UnknownOperator(QueryError):
    """A typed filter or operator that does not exist; the message lists those that do."""


class ClientGone(Exception):
    """A client that closed its connection before the answer."""


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with JSON; bytes of paths that are not UTF-8 are written as \\udcXX."""
    return Response(to_json(value), status, dict(headers or {}), "application/json")


def error_response(
    status: int, message: str, column: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a message, and the column in a query if it is known."""
    return json_response({"error": message, "column": column}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer the errors of clew and of FastAPI as JSON."""
    app.add_exception_handler(ClewError, _answer_clew_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(ClientGone, _answer_nobody)


async def _answer_clew_error(_: Request, error: Exception) -> Response:
    if isinstance(error, Busy):
        return error_response(503, str(error), headers={"Retry-After": "1"})
    if isinstance(error, NotFound):
        return error_response(404, str(error))
    if isinstance(error, UnknownOperator):
        return error_response(422, str(error))
    if isinstance(error, QuerySyntaxError):
        return error_response(400, str(error).splitlines()[0], error.column)
    if isinstance(error, QueryError):
        return error_response(400, str(error))
    if isinstance(error, LibraryError):
        return error_response(503, str(error), headers={"Retry-After": "5"})
    return error_response(400, str(error))


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: "No such address. /docs lists those of the API.",
        405: "This method is not allowed here. /docs lists the methods of the API.",
    }.get(error.status_code, str(error.detail))
    return error_response(error.status_code, message, headers=error.headers)


async def _answer_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"][1:]))
    return error_response(400, f"Invalid value of {name}: {first['msg']}.")


async def _answer_nobody(_: Request, error: Exception) -> Response:
    return Response(status_code=499)

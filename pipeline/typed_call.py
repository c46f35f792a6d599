"""Calling a function of one settings object with the settings as keywords."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar, get_type_hints

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def keywords_of(kind: Callable[P, S]) -> Callable[[Callable[[S], R]], Callable[P, R]]:
    """Let a function of one ``kind`` object take the arguments of ``kind`` instead.

    Type checkers, editors and ``help`` see these, with their types and defaults.
    """

    def decorate(function: Callable[[S], R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> R:
            return function(kind(*args, **keywords))

        hints: dict[str, Any] = get_type_hints(kind)
        parameters = [
            parameter.replace(annotation=hints[name])
            for name, parameter in signature(kind).parameters.items()
        ]
        result = get_type_hints(function)["return"]
        call.__signature__ = signature(kind).replace(  # type: ignore[attr-defined]
            parameters=parameters, return_annotation=result
        )
        return call

    return decorate

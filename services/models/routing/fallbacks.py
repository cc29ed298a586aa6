"""Fallbacks, the models that may answer in place of another: those of a request, then the operator's.

The operator's are in MODELS_FALLBACKS="gpt-4o=claude-opus-5+local-llama,smart=fast".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proto import models_pb2
from proto.models_pb2 import RegisteredModel
from services.models.access.allowed_models import EVERY_MODEL, AllowedModels
from services.models.routing.all_models import AllModels
from services.models.validation.request import check_model_name
from services.shared.errors import InvalidRequest, NotFound, StartupError

SETTING = "MODELS_FALLBACKS"


def read_fallbacks(text: str) -> Mapping[str, Sequence[str]]:
    """The fallbacks of each model, in their order. Raises StartupError.

    The models need not be there at the start: they may be registered later.
    """
    fallbacks: dict[str, Sequence[str]] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        model, equals, others = entry.partition("=")
        names = [name.strip() for name in (model, *others.split("+"))]
        if not equals or any(any(check_model_name(SETTING, name)) for name in names):
            raise StartupError(f"{SETTING}: each entry must be model=fallback+fallback, with commas between them")
        if len(set(names)) < len(names):
            raise StartupError(f"{SETTING}: {names[0]} names a model twice; leave it once")
        if names[0] in fallbacks:
            raise StartupError(f"{SETTING}: {names[0]} is there twice; name all its fallbacks at once")
        fallbacks[names[0]] = names[1:]
    return fallbacks


class Fallbacks:
    """The models that are tried for a request. `by_model` has the operator's."""

    def __init__(self, models: AllModels, by_model: Mapping[str, Sequence[str]]) -> None:
        self._models = models
        self._by_model = by_model

    def candidates(self, request: models_pb2.ChatRequest, allowed: AllowedModels = EVERY_MODEL) -> Sequence[str]:
        """The names of the models that may answer, in order, each once.

        Raises NotFound for the request's model, InvalidRequest for a fallback of its that does not exist, and
        PermissionDenied MODEL_NOT_ALLOWED for one of them that the caller may not call. Those of the operator's that it
        may not call are left out without a word: it has not asked for them, and need not know of them.
        """
        model, operators = request.model, self._by_model.get(request.model, ())
        if not request.fallback_models and not operators and allowed.are_all:
            return (model,)
        self._models.find_allowed(model, allowed)
        for index, name in enumerate(request.fallback_models):
            self._check(f"fallback_models[{index}]", name, allowed)
        own = [name for name in operators if not self._is_strangers(name)]
        if not allowed.are_all:
            own = [name for name in own if self._models.may_call(name, allowed)]
        return list(dict.fromkeys([model, *request.fallback_models, *own]))

    def definitions(self, models: Sequence[str]) -> list[str]:
        """The definitions of models, as texts that differ when other models or other servers would answer.

        Raises NotFound for the first model, and Unavailable while the registered models are not known yet.
        """
        self._models.find(models[0])
        return [self._models.definition(name) for name in models]

    def _is_strangers(self, name: str) -> bool:
        """Whether a stranger has registered a model under one of the operator's names, who did not mean that one."""
        found = self._models.look_up(name)
        return isinstance(found, RegisteredModel) and found.untrusted

    def _check(self, field: str, name: str, allowed: AllowedModels) -> None:
        try:
            self._models.find_allowed(name, allowed, field)
        except NotFound as error:
            raise InvalidRequest.field(field, error.message, reason=error.reason) from None

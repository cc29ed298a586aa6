"""Labels of a model in metrics: its provider and its name, of which callers and servers cannot make ever new ones."""

from __future__ import annotations

from proto import models_pb2
from services.models.providers.base import Target
from services.shared.metrics import OTHER, LabelValues

MAX_MODELS = 200
"""Models of vendors and of the operator that have series of their own."""
MAX_STRANGERS_MODELS = 50
"""The same of models that strangers have registered."""
MAX_ANSWERING = 4
"""Names that one model may give itself in its answers."""

Labels = tuple[str, str]
"""The provider, and the model: a registered one by its own name, any other by its provider's id."""

_MODELS = LabelValues(MAX_MODELS)
_STRANGERS_MODELS = LabelValues(MAX_STRANGERS_MODELS)
_answering: dict[Labels, LabelValues] = {}


def model_labels(target: Target, *, has_answered: bool = False) -> Labels:
    """The labels of the model of a target. A model that is neither registered nor listed is `_OTHER` until it has
    answered once: the name may be misspelt."""
    labels = target.provider, target.registered_model or target.model
    if target.registered_model:
        admitted = (_STRANGERS_MODELS if target.untrusted else _MODELS).take(labels)
        return labels if admitted else (OTHER, OTHER)
    is_known = has_answered or target.source != models_pb2.MODEL_SOURCE_UNSPECIFIED
    admitted = _MODELS.take(labels) if is_known else _MODELS.has(labels)
    return labels if admitted else (target.provider, OTHER)


def answering_label(labels: Labels, model: str) -> str:
    """The label of the name that a model with these labels gives itself in an answer."""
    names = _answering.get(labels)
    if names is None:
        names = _answering[labels] = LabelValues(MAX_ANSWERING)
    return names.label(model)

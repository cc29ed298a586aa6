"""Name rules: the names that a registration may take, and those that it is served under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from proto.models_pb2 import RegisteredModel
from services.models.catalog.vendor_models import VendorModels
from services.models.validation.fields import shorten
from services.shared.errors import AlreadyExists, PreconditionFailed

SETTING = "MODELS_OVERRIDES"

Overrides = Literal["allow", "refuse"]


class NameRules:
    """Keeps strangers from taking names in use: those of vendors' models, of the operator's aliases and fallbacks,
    and of registered models. Strangers are anonymous, so no stranger may change the registration of another one either.

    `overrides` allows or refuses taking a name in use, for everybody; None allows it to the operator alone.
    """

    def __init__(
        self,
        vendor_models: VendorModels,
        aliases: Mapping[str, str] | None = None,
        overrides: Overrides | None = None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._vendor_models = vendor_models
        self._aliases = aliases or {}
        self._overrides = overrides
        self._in_fallbacks = {name.lower() for model, others in (fallbacks or {}).items() for name in (model, *others)}

    def may_override(self, by_stranger: bool) -> bool:
        """Whether a registration may take a name that is in use."""
        return self._overrides == "allow" or (self._overrides is None and not by_stranger)

    def check(self, model: RegisteredModel, *, replaces: bool) -> None:
        """Raises PreconditionFailed NAME_TAKEN or NAME_RESERVED for a name that this registration may not take, and
        AlreadyExists ALIAS_TAKEN for an alias that is a built-in name. `replaces` another definition of its name."""
        self._refuse_built_in_aliases(model.aliases)
        if self.may_override(model.untrusted):
            return
        if replaces:
            raise self.name_taken_error(model.name)
        listed = {name.lower(): name for name in self._vendor_models.names}
        for name in (model.name, *model.aliases):
            if owner := self._reserved_for(name, listed):
                raise PreconditionFailed(
                    f"{name} is {owner}; register the model under another name, or have the operator set"
                    f" {SETTING}=allow",
                    reason="NAME_RESERVED",
                    metadata={"name": name, "setting": SETTING},
                )

    def is_built_in(self, name: str) -> bool:
        return self._vendor_models.is_built_in(name)

    def name_taken_error(self, name: str) -> PreconditionFailed:
        """The error for a caller who may not change or remove the registration of a name."""
        return PreconditionFailed(
            f"{shorten(name)} is registered, and as callers cannot be told apart none of them may change or remove it,"
            f" unless the operator sets {SETTING}=allow; register the model under another name",
            reason="NAME_TAKEN",
            metadata={"name": shorten(name), "setting": SETTING},
        )

    def serves(self, model: RegisteredModel, name: str) -> bool:
        """Whether `name`, a name or alias of this registration, leads to it. A stranger's registration yields to any
        other model of the name, which a vendor may have listed later."""
        return not model.untrusted or self._overrides == "allow" or not self.other_owner(name)

    def other_owner(self, name: str) -> str:
        """The owner that the name would have if no model were registered, as a phrase; empty if there is none."""
        if name in self._aliases:
            return "an alias of the operator's"
        vendor_model = self._vendor_models.look_up(name)
        return f"a model of {vendor_model.vendor.title}'s" if vendor_model else ""

    def _reserved_for(self, name: str, listed: Mapping[str, str]) -> str:
        """The owner of a name that equals this one if case is ignored, as a phrase; empty if there is none. `listed`
        are the names of vendors' models by their lower-case forms."""
        lower = name.lower()
        if lower in {alias.lower() for alias in self._aliases}:
            return "an alias of the operator's"
        if lower in {meant.lower() for meant in self._aliases.values()}:
            return "what an alias of the operator's stands for"
        if lower in self._in_fallbacks:
            return "in the operator's MODELS_FALLBACKS"
        return self.other_owner(listed.get(lower, lower))

    def _refuse_built_in_aliases(self, aliases: Iterable[str]) -> None:
        for alias in filter(self.is_built_in, aliases):
            raise AlreadyExists(
                f"{alias} is a built-in model; to serve it in its place, register the model under that name",
                reason="ALIAS_TAKEN",
                metadata={"alias": alias},
            )

"""What an adaptor is, and the model that it makes of a backbone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import DomainError, OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates import BlockGates, ModelGates


class Adaptor(nn.Module, ABC):
    """The part of a domain that changes the features. It owns no backbone tensor."""

    @abstractmethod
    def forward(self, backbone: Backbone, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Compute adapted features of images `x` with the help of the shared backbone."""

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that learn at the recipe's `backbone_lr`; none, mostly.

        They started from pre-trained values, or are as sensitive as those.
        """
        return iter(())

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """Return a tensor of this adaptor's state as the domain's file keeps it: as it is, mostly.

        `name` is its name in the adaptor.
        """
        return tensor

    def restored(self, name: str, tensor: Tensor) -> Tensor:
        """Return what `stored` was made of, or what does the same; as it is, if it is unknown."""
        return tensor


class AdaptedModel(nn.Module):
    """A frozen shared backbone, one domain's adaptor, one domain's head: images to logits.

    An ordinary module: only the domain's parameters require gradients, so any
    training loop may optimise `model.parameters()` or `model.domain_parameters()`.
    Several models may share one backbone; none ever changes it.
    """

    def __init__(self, backbone: Backbone, adaptor: Adaptor, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise OptionError(f"A head for {classes} classes is not possible: give at least 1.")
        self.backbone = backbone
        self.adaptor = adaptor
        self.head = nn.Linear(backbone.info.features, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        # The domain's part follows the backbone's device and type, so that the whole runs at once.
        reference = next(backbone.parameters())
        self.adaptor.to(reference.device, reference.dtype)
        self.head.to(reference.device, reference.dtype)

    @property
    def gates(self) -> ModelGates | None:
        """What this model may leave out; None without gates."""
        for part in self.adaptor.children():
            if isinstance(part, BlockGates):
                return ModelGates(part, self)
        return None

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Map normalised images to logits."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Map normalised images to the adapted features that the head reads."""
        features: Tensor = self.adaptor(self.backbone, x)
        return features

    def domain_state(self) -> dict[str, Tensor]:
        """Return what belongs to the domain, parameters and buffers, by name; nothing is copied.

        The one definition of a domain: the file, the optimiser and the meter ask it.
        """
        state: dict[str, Tensor] = {}
        for prefix, part in self._domain_parts():
            state.update(part.state_dict(prefix=prefix, keep_vars=True))
        return state

    def domain_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the trained parameters, which are those of `domain_state()`."""
        for _, part in self._domain_parts():
            yield from part.parameters()

    def load_domain_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy `state` into the domain's tensors.

        Raises:
            DomainError: a tensor is missing, unexpected or of another shape; nothing is changed.
        """
        own = {name: tensor.detach() for name, tensor in self.domain_state().items()}
        if missing := sorted(own.keys() - state.keys()):
            raise DomainError(
                f"The domain's tensor {missing[0]!r} is missing: the file is not whole."
            )
        if unexpected := sorted(state.keys() - own.keys()):
            raise DomainError(
                f"The domain's tensor {unexpected[0]!r} is not part of this method: "
                "the file was made by another one or was damaged."
            )
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise DomainError(
                    f"The domain's tensor {name!r} has shape {tuple(state[name].shape)}, "
                    f"but {tuple(tensor.shape)} is needed: the file belongs to another model."
                )
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def stored_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a state of the domain, such as `domain_state()`, as its file keeps it.

        The methods that need not keep all that is trained make it smaller.
        """
        return self._converted(state, self.adaptor.stored)

    def load_stored_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy what a domain's file keeps into the domain's tensors.

        Raises:
            DomainError: as `load_domain_state`.
        """
        self.load_domain_state(self._converted(state, self.adaptor.restored))

    def _converted(
        self, state: Mapping[str, Tensor], convert: Callable[[str, Tensor], Tensor]
    ) -> dict[str, Tensor]:
        prefix, _ = self._domain_parts()[0]
        return {
            name: convert(name.removeprefix(prefix), tensor) if name.startswith(prefix) else tensor
            for name, tensor in state.items()
        }

    def _domain_parts(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("adaptor.", self.adaptor), ("head.", self.head)

"""Recording a network that decides by the sizes of maps: they are known from an example."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from addapt._errors import OptionError


def only_for(x: Tensor, sizes: tuple[int, ...]) -> None:
    """Refuse what a network was not recorded for.

    Raises:
        OptionError: the input has other sizes, the number of images left aside.
    """
    if tuple(x.shape[1:]) != sizes:
        raise OptionError(
            f"This network decides by the size of its input and was frozen with an example of "
            f"{_times(sizes)}, but was given {_times(tuple(x.shape[1:]))}: give images of that "
            "size, or freeze it with such an example."
        )


def unfit_example(name: str, example: Tensor, error: Exception) -> OptionError:
    """Return the error that says that a network cannot take an example."""
    reason = str(error).strip().split("\n", 1)[0].rstrip(".")
    return OptionError(
        f"{name} cannot take an `example` of {tuple(example.shape)}: {reason}. Give images of the "
        "size that it is made for, and of its type."
    )


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


class SizedProxy(fx.Proxy):
    """Stands for a value that is known; of a map's sizes all but the first are plain numbers.

    The first is the number of images, which a recorded network leaves open.
    """

    value: Any

    def __getattr__(self, k: str) -> Any:
        value = self.__dict__.get("value")
        if isinstance(value, Tensor) and k == "shape":
            return sizes_of(self)
        if isinstance(value, Tensor) and k == "ndim":
            return value.dim()
        if isinstance(value, Tensor) and k == "device":
            return _Device(self, k)
        return super().__getattr__(k)

    def __len__(self) -> int:
        if isinstance(self.value, (tuple, list)):
            return len(self.value)
        return super().__len__()


class _Device(fx.proxy.Attribute):
    """A map's device, asked for anew in each call of the network, but for its kind."""

    @property
    def type(self) -> str:
        """The kind of the device, such as "cpu", for whoever decides by it."""
        return str(value_of(self.root).device.type)


def sizes_of(proxy: SizedProxy) -> tuple[Any, ...]:
    """Return the sizes of a map, the first to be asked for anew in each call of the network."""
    if proxy.node.op == "get_attr":  # a weight has no images
        return tuple(proxy.value.shape)
    images = fx.Tracer.create_proxy(proxy.tracer, "call_method", "size", (proxy, 0), {})
    assert isinstance(images, SizedProxy)
    images.value = proxy.value.shape[0]
    return images, *proxy.value.shape[1:]


def value_of(argument: Any) -> Any:
    """Return what proxies stand for, in nested arguments, too."""

    def known(leaf: Any) -> Any:
        if isinstance(leaf, SizedProxy):
            return leaf.value
        if isinstance(leaf, fx.proxy.Attribute):
            return getattr(value_of(leaf.root), leaf.attr)
        return leaf

    return fx.node.map_aggregate(argument, known)


CALL, GET = nn.Module.__call__, nn.Module.__getattr__


@contextmanager
def _as_without_tracer() -> Iterator[None]:
    """Let modules compute, which are otherwise recorded while a tracer is at work."""
    patched = nn.Module.__call__, nn.Module.__getattr__
    nn.Module.__call__, nn.Module.__getattr__ = CALL, GET  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__, nn.Module.__getattr__ = patched  # type: ignore[method-assign]


class SizedTracer(fx.Tracer):
    """Runs the network once on an example while it records it.

    Args:
        example: the input; the network is recorded for its sizes but the first.
        settings: of the tracer.
    """

    def __init__(self, example: Tensor, **settings: Any) -> None:
        super().__init__(**settings)
        self._example = example

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[fx.Node], fx.Proxy] | None = None,
    ) -> Any:
        """Record a call, and do it."""
        known_args, known_kwargs = value_of(args), value_of(kwargs)
        if kind == "call_method" and isinstance(known_args[0], Tensor):
            if target == "dim":
                return known_args[0].dim()
            if target == "size":
                sizes = sizes_of(args[0])
                place = (*args[1:], *kwargs.values())
                return sizes[place[0]] if place else sizes
        proxy: Any = super().create_proxy(
            kind, target, args, kwargs, name, type_expr, proxy_factory_fn
        )
        try:
            with torch.no_grad(), _as_without_tracer():
                proxy.value = self._run(kind, target, known_args, known_kwargs)
        except (RuntimeError, ValueError, TypeError) as error:
            raise unfit_example(type(self.root).__name__, self._example, error) from error
        return proxy

    def _run(self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kind == "placeholder":
            if args:
                return args[0]
            return self._example.clone()
        if kind == "get_attr":
            return attrgetter(target)(self.root)
        if kind == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Decide by what is known, but never by the values of a map."""
        value = value_of(obj)
        return super().to_bool(obj) if isinstance(value, Tensor) else bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Go through what is known to be several."""
        value = value_of(obj)
        if isinstance(value, (tuple, list)):
            return iter([obj[place] for place in range(len(value))])  # type: ignore[index]
        return super().iter(obj)

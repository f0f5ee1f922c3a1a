"""What removing layers, heads and neurons leaves of a model's FLOPs, and how many of each a share leaves."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..bench.cost import EncoderShape, encoder_flops, shape_of_config
from ..encoder.families import family_of_config, layers_of
from ..encoder.removing import NotRemovable, check_removable
from ..errors import PowerbertError
from ..method.pruning import width_for
from ..settings import CompressOptions
from .layers import taken

_MULTIPLE = 16  # of which a layer's neurons are, so that matrix products keep their speed


def check_compressible(options: CompressOptions, config: Any, lengths: Iterable[int], by_attention: bool) -> None:
    """
    Args:
        config: of the model that will be compressed. lengths: of the training inputs.
        by_attention: word-vectors will be eliminated by their significance.

    Raises:
        PowerbertError: it cannot be, or not so far.
    """
    layers = layers_of(config)
    try:
        check_removable(config, options.cuts, options.narrows or options.removes_heads)
    except NotRemovable as error:
        raise PowerbertError(
            f"{error}; leave compress.layers, compress.heads and compress.ffn at null, and with retention=full and in "
            "powerbert compress target.flops too"
        ) from error
    if options.layers is not None and options.layers > layers:
        raise PowerbertError(f"compress.layers={options.layers}: the model has {layers}; set fewer, or null for all")
    if options.removes_heads and not options.least_heads and by_attention:
        raise PowerbertError(
            "compress.least_heads=0 may leave a layer without heads, whose attention would say which word-vectors to "
            "drop; set compress.least_heads=1, or retention=full to keep all word-vectors"
        )
    sizes = Sizes.of(options, config, lengths)
    if options.removes_heads:
        sizes = replace(sizes, heads_left=sizes.heads_for(options))
    sizes.neurons_for(options)


def layers_for(options: CompressOptions, layers: int) -> int:
    """How many layers are kept: each costs the same."""
    if not options.cuts:
        return layers
    if options.layers is not None:
        return options.layers
    assert options.flops is not None
    keep = math.floor(options.flops * layers + 1e-9)
    if not keep:
        raise PowerbertError(
            f"target.flops={options.flops:g}: one layer of {layers} costs {math.ceil(1000 / layers) / 1000:g}; set a "
            "larger share"
        )
    return keep


@dataclass(frozen=True)
class Sizes:
    """What a model costs by its layers, heads and feed-forward neurons, on the real lengths of the training inputs.

    Without elimination only the sums over layers count.

    Attributes:
        whole: the model before. heads, neurons: of a layer of it.
        kept: layers that are left, 0-based.
        heads_left: of all layers that are left.
        lengths: of the inputs.
    """

    whole: EncoderShape
    heads: int
    neurons: int
    kept: tuple[int, ...]
    heads_left: int
    lengths: Counter[int]

    @classmethod
    def of(cls, options: CompressOptions, config: Any, lengths: Iterable[int]) -> "Sizes":
        """
        Args:
            config: of the model before. lengths: of the training inputs.

        Raises:
            PowerbertError: no layer is left.
        """
        layers, heads = layers_of(config), config.num_attention_heads
        neurons = int(getattr(config, family_of_config(config).neurons_key))
        kept = taken(layers, layers_for(options, layers), options.take if options.cuts else "first")
        return cls(shape_of_config(config), heads, neurons, kept, heads * len(kept), Counter(lengths))

    @property
    def multiple(self) -> int:
        """Of which numbers of neurons are multiples."""
        return _MULTIPLE if self.neurons >= _MULTIPLE else 1

    def cost(self, neurons: float, heads: float | None = None) -> float:
        """FLOPs of what is left, with so many neurons in each layer and heads in all."""
        attended = (self.heads_left if heads is None else heads) / (self.heads * len(self.kept))
        layers = (self.whole[i] for i in self.kept)
        return self._of(
            tuple(
                replace(
                    layer,
                    attended=layer.attended * attended,
                    feed_forward=layer.feed_forward * neurons / self.neurons,
                )
                for layer in layers
            )
        )

    def _of(self, shape: EncoderShape) -> float:
        return sum(count * encoder_flops(shape, n) for n, count in self.lengths.items())

    def neurons_of_all(self, options: CompressOptions) -> int:
        """All neurons, as `neurons_for` counts them."""
        return self.neurons * self._layers_counted(options)

    def _layers_counted(self, options: CompressOptions) -> int:
        return len(self.kept) if options.widths == "layer" else 1

    def share(self, neurons: float, options: CompressOptions) -> float:
        """Of the whole model's FLOPs, with neurons counted as `neurons_for` does."""
        return self.cost(neurons / self._layers_counted(options)) / self._of(self.whole)

    def within(self, share: float, options: CompressOptions) -> int:
        """The most neurons, counted as `neurons_for` does, within a share of the whole model's FLOPs.

        Raises:
            ValueError: there are none.
        """
        most, layers = self.neurons_of_all(options), self._layers_counted(options)
        return width_for(
            share * self._of(self.whole) / self.cost(self.neurons), lambda n: self.cost(n / layers), most, self.multiple
        )

    def neurons_for(self, options: CompressOptions) -> int:
        """Neurons that each layer keeps; with widths=layer all layers together."""
        most = self.neurons_of_all(options)
        if options.ffn is not None:
            return max(self.multiple, round(options.ffn * most / self.multiple) * self.multiple)
        if options.flops is None or options.reached_by != "ffn":
            return most
        try:
            return min(most, self.within(options.flops, options))
        except ValueError as error:
            least = math.ceil(1000 * self.share(0, options)) / 1000
            raise PowerbertError(
                f"target.flops={options.flops:g}: without any feed-forward neuron it still costs {least:g}; set a "
                "larger share"
            ) from error

    def heads_for(self, options: CompressOptions) -> int:
        """Heads that all layers together keep."""
        most, least = self.heads * len(self.kept), options.least_heads * len(self.kept)
        if options.heads is not None:
            keep, given = round(options.heads * most), f"compress.heads={options.heads:g}"
        else:
            assert options.flops is not None
            bare, full = self.cost(self.neurons, 0), self.cost(self.neurons, most)
            keep = math.floor((options.flops * self._of(self.whole) - bare) / (full - bare) * most + 1e-9)
            given = f"target.flops={options.flops:g}"
        if keep < max(least, 0):
            lowest = math.ceil(1000 * self.cost(self.neurons, least) / self._of(self.whole)) / 1000
            raise PowerbertError(
                f"{given} leaves {max(keep, 0)} of {most} heads, fewer than compress.least_heads={options.least_heads} "
                f"in each of {len(self.kept)} layers; so few still cost {lowest:g} of the FLOPs; set a larger share"
            )
        return min(keep, most)

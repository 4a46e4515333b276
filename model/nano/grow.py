"""More layers for a checkpoint's encoder: `python -m model.nano.grow CHECKPOINT --layers N --to FILE`.

The larger network hears what the smaller one heard, so training goes on from there and nothing is learned twice (as
Net2Net's deeper networks do: Chen et al., arXiv 1511.05641). Give `train` the same `--layers`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from model.encoder import ConformerLayer
from model.nano.network import config_of, network_of, new_network
from model.speech import GraniteSpeech


def grown(path: Path, layers: int) -> tuple[GraniteSpeech, dict[str, object]]:
    """A network with `layers` layers in its encoder that hears the same, and its `config.json`.

    The new ones stand behind the last of each half, for the encoder tells its characters to the layers behind its
    middle. They begin as twins of that layer which add nothing yet. Where it ended with a gain and a bias, now the last
    of the new ones does: what is normalised once more between them stays as it is.

    Raises:
        ValueError: the halves would not grow alike.
    """
    small, config = network_of(path), config_of(path)
    shape = config["encoder_config"] = dict(config["encoder_config"])
    before = shape["num_layers"]
    if before % 2 or layers % 2 or layers < before:
        raise ValueError(f"halves of an encoder grow alike: {before} layers can become {before + 2}, {before + 4}, …")
    shape["num_layers"] = layers
    large = new_network(config).eval()
    kept = {name: value for name, value in small.state_dict().items() if not name.startswith("encoder.layers.")}
    large.load_state_dict(kept, strict=False)
    for index, layer in enumerate(large.encoder.layers):
        half, place = divmod(index, layers // 2)
        last = before // 2 - 1  # of the old ones in a half
        twin = small.encoder.layers[half * before // 2 + min(place, last)]
        assert isinstance(layer, ConformerLayer)
        layer.load_state_dict(twin.state_dict())
        if place > last:
            for output in (layer.ff1.down_proj, layer.attn.to_out, layer.conv.down_conv, layer.ff2.down_proj):
                for parameter in output.parameters():
                    nn.init.zeros_(parameter)
        if last <= place < layers // 2 - 1:
            layer.post_norm.reset_parameters()
    return large, config


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a stage's, or an exported model's folder")
    parser.add_argument("--layers", type=int, required=True, help="of the encoder from now on")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a checkpoint for --init")
    arguments = parser.parse_args()
    network, config = grown(arguments.checkpoint, arguments.layers)
    torch.save({"mean": network.state_dict(), "config": config}, arguments.to)


if __name__ == "__main__":
    main()

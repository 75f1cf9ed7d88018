"""The captioning bench's convolutional networks in PyTorch; imported in the peer's process alone."""

from __future__ import annotations

import torch
from torch import nn

# Of MobileNetV2 (Sandler et al. 2018, table 2): expansion, channels, how many blocks, and the first one's stride.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def eye(kind: str, arrays) -> nn.Module:
    """The network "MobileNetV2", frozen, or "conv", with weights from `torch_captioner.seen`: uint8 `[batch, height,
    width, 3]` -> `[batch, places, features]`."""
    made = MobileNet() if kind == "MobileNetV2" else Convolutions(arrays)
    parts = [part for part in made.modules() if isinstance(part, (nn.Conv2d, nn.BatchNorm2d))]
    for part, values in zip(parts, arrays, strict=True):
        own = [part.weight, part.bias, *part.buffers()]
        for mine, value in zip((tensor for tensor in own if tensor is not None), values, strict=False):
            mine.data.copy_(torch.as_tensor(value))  # batch normalisation also counts batches
    if kind == "MobileNetV2":
        made.eval().requires_grad_(False)
    return made.to(memory_format=torch.channels_last)


class Convolution(nn.Conv2d):
    """Padded as Keras does: with stride 2, the odd one of the zeros is behind."""

    def __init__(self, before, after, size, stride=1, **options):
        super().__init__(before, after, size, stride, padding=size // 2 if stride == 1 else 0, **options)

    def forward(self, x):
        if self.stride[0] > 1:
            missing = [self.kernel_size[0] - 1 - (n - 1) % self.stride[0] for n in x.shape[2:]]
            rows, columns = missing
            x = nn.functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


class Block(nn.Module):
    """An inverted residual: wider, depthwise, narrow again."""

    def __init__(self, before, after, expansion, stride):
        super().__init__()
        wide = before * expansion
        expand = [] if expansion == 1 else [Convolution(before, wide, 1), nn.ReLU6(inplace=True)]
        depthwise = [Convolution(wide, wide, 3, stride, groups=wide), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(*expand, *depthwise, Convolution(wide, after, 1))
        self.residual = stride == 1 and before == after

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNet(nn.Module):
    """With its batch normalisation folded into the convolutions, as the zoo's is."""

    def __init__(self):
        super().__init__()
        layers, before = [Convolution(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
        for expansion, after, count, stride in BLOCKS:
            for i in range(count):
                layers.append(Block(before, after, expansion, 1 if i else stride))
                before = after
        self.layers = nn.Sequential(*layers, Convolution(before, 1280, 1), nn.ReLU6(inplace=True))

    def forward(self, pictures):
        return places(self.layers(pixels(pictures)))


class Convolutions(nn.Module):
    """The zoo's own: of pixels and their coordinates, each convolution with stride 2 and batch normalisation."""

    def __init__(self, arrays):
        super().__init__()
        layers = []
        for after, before, size, _ in (kernel.shape for kernel, *_ in arrays[::2]):
            layers += [Convolution(before, after, size, 2, bias=False), nn.BatchNorm2d(after, 1e-3, 0.05), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures):
        x = pixels(pictures)
        rows, columns = (torch.linspace(-1, 1, size) for size in x.shape[2:])
        where = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        x = torch.cat([x, where], 1)
        return places(self.layers(x))


def pixels(pictures):
    """`[batch, height, width, 3]`, 0 to 255 -> `[batch, 3, height, width]`, -1 to 1, the memory in the same order."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def places(x):
    return x.flatten(2).transpose(1, 2)

"""The U-Net of lib/model/unet.ts in plain PyTorch: the architecture and the parameter names of diffusers' UNet2DModel."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class ResnetBlock(nn.Module):
    """norm - SiLU - convolution (+ time) - norm - SiLU - dropout - convolution, plus the (projected) input."""

    def __init__(self, config, inputs, outputs):
        super().__init__()
        groups, eps = config["norm_num_groups"], config["norm_eps"]
        self.norm1 = nn.GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * config["block_out_channels"][0], outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, eps)
        self.dropout = nn.Dropout(config["dropout"])
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(time)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.conv_shortcut(x) + h


class Attention(nn.Module):
    """norm - attention over all positions - projection, plus the input."""

    def __init__(self, config, channels):
        super().__init__()
        self.heads = channels // (config["attention_head_dim"] or channels)
        self.group_norm = nn.GroupNorm(config["norm_num_groups"], channels, config["norm_eps"])
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        n, c, height, width = x.shape
        h = self.group_norm(x).flatten(2).transpose(1, 2)  # [N, positions, C]
        q, k, v = (
            project(h).unflatten(2, (self.heads, -1)).transpose(1, 2) for project in (self.to_q, self.to_k, self.to_v)
        )
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.to_out[0](h).transpose(1, 2).reshape(n, c, height, width)


class Resample(nn.Module):
    """Downsampling by a convolution of stride 2, or nearest-neighbour upsampling and a convolution."""

    def __init__(self, channels, up, padding):
        super().__init__()
        self.up = up
        self.pad = not up and padding == 0  # bottom and right only
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1 if up else padding)

    def forward(self, x):
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        elif self.pad:
            x = F.pad(x, (0, 1, 0, 1))
        return self.conv(x)


class Block(nn.Module):
    """Residual blocks of a level, each followed by attention if the level has it."""

    def __init__(self, config, widths, outputs, attention):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(config, inputs, outputs) for inputs in widths)
        if attention:
            self.attentions = nn.ModuleList(Attention(config, outputs) for _ in widths)

    def run(self, index, x, time):
        x = self.resnets[index](x, time)
        return self.attentions[index](x) if hasattr(self, "attentions") else x


class Middle(nn.Module):
    def __init__(self, config, channels):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(config, channels, channels) for _ in range(2))
        if config["add_attention"]:
            self.attentions = nn.ModuleList([Attention(config, channels)])

    def forward(self, x, time):
        x = self.resnets[0](x, time)
        if hasattr(self, "attentions"):
            x = self.attentions[0](x)
        return self.resnets[1](x, time)


class UNet(nn.Module):
    """Built from the content of a `config.json`."""

    def __init__(self, config):
        super().__init__()
        self.config = config = {"add_attention": True, "dropout": 0.0, "num_class_embeds": None, **config}
        channels, layers = config["block_out_channels"], config["layers_per_block"]
        first, last, padding = channels[0], channels[-1], config["downsample_padding"]
        self.conv_in = nn.Conv2d(config["in_channels"], first, 3, padding=1)
        linears = {"linear_1": nn.Linear(first, 4 * first), "linear_2": nn.Linear(4 * first, 4 * first)}
        self.time_embedding = nn.ModuleDict(linears)
        if config["num_class_embeds"] is not None:
            self.class_embedding = nn.Embedding(config["num_class_embeds"], 4 * first)

        skips = [first]
        self.down_blocks = nn.ModuleList()
        for level, (width, kind) in enumerate(zip(channels, config["down_block_types"])):
            inputs = [skips[-1]] + [width] * (layers - 1)
            block = Block(config, inputs, width, kind.startswith("Attn"))
            skips += [width] * layers
            if level < len(channels) - 1:
                block.downsamplers = nn.ModuleList([Resample(width, False, padding)])
                skips.append(width)
            self.down_blocks.append(block)

        self.mid_block = Middle(config, last)

        self.up_blocks = nn.ModuleList()
        before = last
        for index, (width, kind) in enumerate(zip(reversed(channels), config["up_block_types"])):
            inputs = [below + skips.pop() for below in [before] + [width] * layers]
            block = Block(config, inputs, width, kind.startswith("Attn"))
            if index < len(channels) - 1:
                block.upsamplers = nn.ModuleList([Resample(width, True, padding)])
            self.up_blocks.append(block)
            before = width

        self.conv_norm_out = nn.GroupNorm(config["norm_num_groups"], first, config["norm_eps"])
        self.conv_out = nn.Conv2d(first, config["out_channels"], 3, padding=1)

        half = first // 2
        exponents = torch.arange(half, dtype=torch.float64) / (half - config["freq_shift"])
        self.register_buffer("frequencies", torch.exp(-math.log(10000) * exponents).float(), persistent=False)

    def embed(self, timesteps, labels):
        """SiLU of the time (and class) embedding, [N, 4 * first channels]."""
        angles = timesteps[:, None].to(self.frequencies.dtype) * self.frequencies
        halves = [angles.sin(), angles.cos()]
        sinusoids = torch.cat(halves[::-1] if self.config["flip_sin_to_cos"] else halves, dim=1)
        linears = self.time_embedding
        embedded = linears["linear_2"](F.silu(linears["linear_1"](sinusoids)))
        if labels is not None:
            embedded = embedded + self.class_embedding(labels)
        return F.silu(embedded)

    def forward(self, x, timesteps, labels=None):
        """x [N, C, H, W], N timesteps, N labels where there are classes -> [N, C, H, W]."""
        time = self.embed(timesteps, labels)
        layers = self.config["layers_per_block"]
        h = self.conv_in(x)
        skips = [h]
        for block in self.down_blocks:
            for index in range(layers):
                h = block.run(index, h, time)
                skips.append(h)
            if hasattr(block, "downsamplers"):
                h = block.downsamplers[0](h)
                skips.append(h)
        h = self.mid_block(h, time)
        for block in self.up_blocks:
            for index in range(layers + 1):
                h = block.run(index, torch.cat([h, skips.pop()], dim=1), time)
            if hasattr(block, "upsamplers"):
                h = block.upsamplers[0](h)
        return self.conv_out(F.silu(self.conv_norm_out(h)))

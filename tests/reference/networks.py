"""Small networks of the kinds in use, written as their authors' users would write them."""

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.a = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm_a, self.norm_b = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.skip = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.norm_b(self.b(self.relu(self.norm_a(self.a(x)))))
        out += self.skip(x)
        return self.relu(out)


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        ResidualBlock(4, 6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x):
        out = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        out = self.gamma * self.down(F.gelu(self.up(out)))
        return x + out.permute(0, 3, 1, 2)


def convnext():
    return nn.Sequential(
        nn.Conv2d(3, 4, 2, 2),
        ConvNeXtBlock(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(4),
        nn.Linear(4, 3),
    )


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 3, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 5, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 12, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(len(x), -1, -1), tokens), 1) + self.positions
        return self.head(self.encoder(tokens)[:, 0])


class Attention(nn.Module):
    """Multi-head attention with the sequence first, its weights asked for."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(18, 8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.embed(x.flatten(2).reshape(len(x), 6, 18)).transpose(0, 1)
        mixed, weights = self.attention(tokens, tokens, tokens, need_weights=True)
        return self.head(mixed.mean(0)) + weights.mean((1, 2))[:, None]


class Causal(nn.Module):
    """Scaled dot-product attention called by hand, with a causal mask and with a bias."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(18, 24), nn.Linear(16, 3)
        self.bias = nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        tokens = self.embed(x.flatten(2).reshape(len(x), 6, 18))
        q, k, v = (z.unflatten(2, (2, 4)).transpose(1, 2) for z in tokens.chunk(3, 2))
        causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        biased = F.scaled_dot_product_attention(k, q, v, attn_mask=self.bias)
        both = torch.cat((causal, biased), -1).transpose(1, 2).flatten(2)
        return self.head(F.silu(both).mean(1))


class MixerBlock(nn.Module):
    def __init__(self, tokens, channels):
        super().__init__()
        self.norm_a, self.norm_b = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.tokens = nn.Sequential(nn.Linear(tokens, 5), nn.GELU(), nn.Linear(5, tokens))
        self.channels = nn.Sequential(nn.Linear(channels, 7), nn.GELU(), nn.Linear(7, channels))

    def forward(self, x):
        x = x + self.tokens(self.norm_a(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_b(x))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 5, 3, 3), MixerBlock(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        scale = F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.up(scale))


def mobilenet():
    """Inverted residuals of both versions: ReLU6, then hard-swish and hard-sigmoid."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(inplace=True),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4),
        nn.BatchNorm2d(4),
        nn.Hardswish(inplace=True),
        SqueezeExcite(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def efficientnet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.SiLU(inplace=True),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4),
        nn.GroupNorm(2, 4),
        nn.Sigmoid(),
        nn.AvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4, 3),
    )


class Sliced(nn.Module):
    """Arithmetic between tensors: gates, norms, powers, chunks, einsum."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(6, 3))

    def forward(self, x):
        pooled = F.pad(x, (1, 0, 0, 1), value=0.5).mean((2, 3))
        a, b = torch.cat((pooled, pooled.square()), 1).chunk(2, dim=1)
        gated = torch.cat((torch.sub(a * torch.exp(-b), b, alpha=0.3), 1 - a / (2 + b)), 1)
        unit = F.normalize(self.mix(gated), dim=1) + torch.where(
            a[:, :1] > 0, a[:, :1], 0.5 * a[:, :1]
        )
        return torch.einsum("ni,ik->nk", unit, self.weight) + F.log_softmax(a, 1) * F.softmax(b, 1)


NETWORKS = {
    "resnet": resnet,
    "convnext": convnext,
    "vit": ViT,
    "attention": Attention,
    "causal": Causal,
    "mixer": Mixer,
    "mobilenet": mobilenet,
    "efficientnet": efficientnet,
    "sliced": Sliced,
}


def network(name):
    """A network in float64 and eval mode, its normalisation not the trivial one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NETWORKS[name]().double().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return model

"""Writes variational_bound.json: terms of the bound on bytes, with torch.distributions in float64.

The model has a made-up estimate of x_0 in place of a network: clamp(0.8 x_0 + 0.3 v("error/t"), -1, 1), at t = 0
clamp(x_0 + 0.05 v, -1, 1); x_0 is 2 byte / 255 - 1 of bytes round(127.5 (v("bytes") + 1)), the first two of them 0 and 255. v is formula.py's value with case "bound". Distributions are built from the
schedule's betas as in the paper, not from signal-to-noise ratios: q(x_{t-1} | x_t, x_0) with the true image, p with the estimate
in its place, the divergence averaged over the image's dimensions for the x_t of one noise, which drops out.
"""

import os

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

import formula

CASE = "bound"
DIMENSIONS = 64


def v(name, count):
    return torch.tensor(formula.values(CASE, name, count))


def terms(betas, variance):
    betas = torch.tensor(betas, dtype=torch.float64)
    acp = torch.cumprod(1 - betas, 0)
    previous = torch.cat([torch.ones(1, dtype=torch.float64), acp[:-1]])
    small = betas * (1 - previous) / (1 - acp)
    octets = torch.round(127.5 * (v("bytes", DIMENSIONS) + 1))
    octets[:2] = torch.tensor([0.0, 255.0])
    x0 = 2 * octets / 255 - 1
    mean_x0 = betas * previous.sqrt() / (1 - acp)
    mean_xt = (1 - betas).sqrt() * (1 - previous) / (1 - acp)

    def estimate(t):
        gain, spread = (0.8, 0.3) if t > 0 else (1.0, 0.05)
        return torch.clamp(gain * x0 + spread * v(f"error/{t}", DIMENSIONS), -1, 1)

    divergences, errors = [], []
    for t in range(1, len(betas)):
        xt = acp[t].sqrt() * x0 + (1 - acp[t]).sqrt() * 1.7 * v("noise", DIMENSIONS)
        q = Normal(mean_x0[t] * x0 + mean_xt[t] * xt, small[t].sqrt())
        reverse = betas[t] if variance == "fixed_large" else small[t]
        p = Normal(mean_x0[t] * estimate(t) + mean_xt[t] * xt, reverse.sqrt())
        divergences.append(float(kl_divergence(q, p).mean()))
        errors.append(float(((estimate(t) - x0) ** 2).mean()))
    prior = kl_divergence(Normal(acp[-1].sqrt() * x0, (1 - acp[-1]).sqrt()), Normal(0.0, 1.0)).mean()

    decoder = Normal(estimate(0), small[1].sqrt())
    upper = torch.where(octets == 255, 1.0, decoder.cdf(x0 + 1 / 255))
    lower = torch.where(octets == 0, 0.0, decoder.cdf(x0 - 1 / 255))
    # Near the mean, where the difference of two probabilities keeps its digits
    near = ((estimate(0) - x0).abs() < 3 * small[1].sqrt()).nonzero().flatten()
    return {
        "betas": betas.tolist(),
        "variance": variance,
        "bytes": octets.int().tolist(),
        "errors": errors,
        "divergences": divergences,
        "prior": float(prior),
        "decoderVariance": float(small[1]),
        "estimate": estimate(0).tolist(),
        "near": near.tolist(),
        "decoder": (-(upper - lower).log())[near].tolist(),
    }


linear = np.linspace(1e-3, 0.3, 20).tolist()
wide = np.linspace(0.05, 0.6, 8).tolist()
content = {
    "cases": [terms(linear, "fixed_small"), terms(linear, "fixed_large"), terms(wide, "fixed_large")],
    # exp(x^2) erfc(x)
    "scaledErfc": [
        [x, float(torch.special.erfcx(torch.tensor(x, dtype=torch.float64)))]
        for x in [0.0, 1e-9, 0.1, 0.5, 1.0, 1.5, 1.9, 1.999, 2.0, 2.001, 2.5, 3.0, 5.0, 10.0, 30.0, 1e3, 1e8]
    ],
}
formula.write(os.path.join(os.path.dirname(__file__), "variational_bound.json"), content, 15)

"""Writes metrics.json: measures of image sets by scipy and PyTorch, in float64.

Features of case "metrics" are relu(mix v), with v formula.py's values of the name, a row per image, and mix = matrix("mix"), so
that they are correlated; `shifted` rows are 0.8 times as long and 0.1 further on. Probabilities are the softmax of 3 v.
"""

import os

import numpy as np
import scipy.linalg
import torch

import formula

CASE = "metrics"
CLASSES = 5


def features(name, count, width, scale=1.0, offset=0.0):
    v = formula.values(CASE, name, count * width).reshape(count, width)
    mix = formula.values(CASE, f"mix/{width}", width * width).reshape(width, width)
    return scale * np.maximum(v @ mix.T, 0) + offset


def frechet(a, b):
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False)) - 2 * np.trace(root).real


def discrepancy(a, b):
    x, y = torch.tensor(a), torch.tensor(b)
    kernel = lambda p, q: (p @ q.T / x.shape[1] + 1) ** 3
    n = len(x)
    off_diagonal = lambda k: (k.sum() - k.diagonal().sum()) / (n * (n - 1))
    return (off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()).item()


def shares(a, b, k):
    x, y = torch.tensor(a), torch.tensor(b)
    radius = lambda of: torch.cdist(of, of).kthvalue(k + 1, dim=1).values  # the nearest is the vector itself
    within = lambda points, of: (torch.cdist(points, of) <= radius(of)).any(1).double().mean().item()
    return {"precision": within(x, y), "recall": within(y, x)}


def neighbours(a, b):
    distances, indices = torch.cdist(torch.tensor(a), torch.tensor(b)).min(1)
    return {"indices": indices.tolist(), "distances": distances.tolist()}


def probabilities(count):
    z = 3 * formula.values(CASE, "logits", count * CLASSES).reshape(count, CLASSES)
    return torch.softmax(torch.tensor(z), 1)


def inception_score(p, splits):
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        scores.append((part * (part.log() - part.mean(0).log())).sum(1).mean().exp())
    scores = torch.stack(scores)
    return {"mean": scores.mean().item(), "deviation": scores.std(correction=0).item()}


pairs = {}
for name, (count, other, width) in {
    "more images than features": (60, 50, 8),
    "fewer images than features": (6, 9, 16),
    "one feature": (20, 30, 1),
}.items():
    a, b = features("a", count, width), features("b", other, width, 0.8, 0.1)
    least = min(count, other)
    pairs[name] = {
        "sizes": [count, other, width],
        "frechet": frechet(a, b) if width > 1 else (a.mean() - b.mean()) ** 2
        + (a.std(ddof=1) - b.std(ddof=1)) ** 2,
        "discrepancy": discrepancy(a[:least], b[:least]),
        "shares": shares(a, b, 3),
        "neighbours": neighbours(a, b),
    }

matrix = formula.values(CASE, "symmetric", 20 * 20).reshape(20, 20)
p = probabilities(23)
labels = [(7 * n + 3) % CLASSES for n in range(23)]
content = {
    "pairs": pairs,
    "eigenvalues": np.linalg.eigvalsh(matrix + matrix.T).tolist(),
    "scores": {
        "inception": inception_score(p, 4),
        "consistency": (p.argmax(1) == torch.tensor(labels)).double().mean().item(),
    },
}
formula.write(os.path.join(os.path.dirname(__file__), "metrics.json"), content, 12)

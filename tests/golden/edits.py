"""Writes edits.json: diffusers' RePaintScheduler and DDIMInverseScheduler, the order of their steps and their trajectories.

orders: RePaintScheduler's timesteps for `STEPS JUMP RESAMPLINGS`, one training timestep a step. They are levels that x passes, as in the
authors' code: from one to a lower one is a step, evaluated at the first, to a higher one an undone step, and the image follows the
last. diffusers' pipeline takes them for the levels of evaluations instead, which puts every jump a level lower: the last one goes back
from the finished image.

repaint, inversion: as in samplers.py (case "edits"), a trajectory takes out = gain x + 0.5 v("out", step) in place of a network. RePaint
starts from 1.7 v("x"), keeps the image 0.8 v("image") by `mask` (1 keeps), and takes sqrt(3) v("noise", k) in step k and
sqrt(3) v("undo", u) in the u-th undone step, both counted over the whole trajectory; x is stored before each evaluation and at the end. It
runs all training timesteps: with fewer, undo_step adds the betas of other timesteps than those between the levels. An inversion starts
from 0.8 v("image").

network: both with tiny_pipeline's network on the device's noise (see trajectories.py). The noises that diffusers is given for a step and a
jump add up to the single one that is drawn here. The network is evaluated at the level of x, not at the next one as in diffusers'
pipelines.
"""

import os

import numpy as np
import torch
from diffusers import DDIMInverseScheduler, RePaintScheduler
from diffusers.schedulers import scheduling_ddim_inverse, scheduling_repaint

import formula
import unet
from float64 import double
from pipeline_network import CASE, SETTINGS
from sampling_noise import INITIAL, noise

WIDTH = 16
SEED = 23
SHORT = {"num_train_timesteps": 12, "beta_start": 0.02, "beta_end": 0.3}


def inputs(name, step=0):
    return torch.tensor(formula.values("edits", name, WIDTH * (step + 1))[-WIDTH:])


def order(steps, jump, resamplings):
    scheduler = RePaintScheduler(num_train_timesteps=steps)
    scheduler.set_timesteps(steps, jump, resamplings)
    return scheduler.timesteps.tolist()


def evaluations(timesteps):
    return sum(t < last for last, t in zip(timesteps, [*timesteps[1:], -1]))


def repaint(config, jump, resamplings, x, image, mask, output, step_noise, undo_noise):
    """undo_noise(scheduler, k, t, first) is that of the undone step up to timestep t after evaluation k."""
    drawn = [None]
    with double(scheduling_repaint, lambda: drawn[0]):
        scheduler = RePaintScheduler(**config)
        scheduler.set_timesteps(config["num_train_timesteps"], jump, resamplings)
        timesteps = [*scheduler.timesteps.tolist(), -1]
        before = []
        for last, t in zip(timesteps, timesteps[1:]):
            if t < last:
                k, first = len(before), True
                before.append(x)
                drawn[0] = step_noise(k)
                x = scheduler.step(output(x, last, k), last, x, image, mask).prev_sample
            else:
                drawn[0] = undo_noise(scheduler, k, t, first)
                x = scheduler.undo_step(x, t)
                first = False
        assert torch.isfinite(x).all()
        return [*before, x]


def formula_repaint(jump, resamplings, mask, eta, gain=0.9, **config):
    undone = [0]

    def undo_noise(*_):
        undone[0] += 1
        return np.sqrt(3) * inputs("undo", undone[0] - 1)

    mask = torch.tensor(mask, dtype=torch.float64)
    config = {**SHORT, **config, "eta": eta}
    states = repaint(
        config, jump, resamplings, 1.7 * inputs("x"), 0.8 * inputs("image"), mask,
        lambda x, t, k: gain * x + 0.5 * inputs("out", k), lambda k: np.sqrt(3) * inputs("noise", k), undo_noise,
    )
    return {
        "config": {"_class_name": "RePaintScheduler", **config},
        "jump": jump,
        "resamplings": resamplings,
        "gain": gain,
        "mask": mask.tolist(),
        "states": [x.tolist() for x in states],
    }


def invert(config, steps, x, output):
    with double(scheduling_ddim_inverse, None):
        scheduler = DDIMInverseScheduler(**config)
        scheduler.set_timesteps(steps)
        states = [x]
        for k, t in enumerate(scheduler.timesteps.tolist()):
            x = scheduler.step(output(x, k, scheduler), t, x).prev_sample
            states.append(x)
        assert torch.isfinite(x).all()
        return scheduler.timesteps.tolist(), states


def formula_inversion(steps, gain=0.9, **config):
    config = {**config, "clip_sample": False}
    timesteps, states = invert(config, steps, 0.8 * inputs("image"), lambda x, k, _: gain * x + 0.5 * inputs("out", k))
    return {
        "config": {"_class_name": "DDIMInverseScheduler", **config},
        "steps": steps,
        "gain": gain,
        "timesteps": timesteps,
        "states": [x.tolist() for x in states],
    }


def evaluate(x, t):
    return model(x, torch.tensor(t), torch.tensor([LABEL])).sample


def stored(x):
    return x[0].permute(1, 2, 0).reshape(-1).tolist()


def network_repaint(jump, resamplings, eta):
    """The upper half of tiny_pipeline's own formula image is kept."""
    image = torch.tensor(formula.values("edits", "image", 192)).reshape(1, 3, 8, 8)
    mask = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    mask[:, :, :4] = 1

    def undo_noise(scheduler, k, t, first):
        if not first:
            return torch.zeros(1, 3, 8, 8)  # the first undone step of a jump adds all of its noise
        top = t + jump - 1
        scale, later = scheduler.alphas[t : top + 1].prod().sqrt(), scheduler.alphas[t + 1 : top + 1].prod()
        at, above = ((1 - scheduler.alphas_cumprod[level]).sqrt() for level in (t - 1, top))
        sigma = eta * scheduler._get_variance(t) ** 0.5
        total = (above**2 - (scale * at) ** 2 + (scale * sigma) ** 2).sqrt()
        anew = (total - scale * sigma) * noise(SEED, k)
        kept = (above - scale * at) * noise(SEED, k, 1)
        return (mask * kept + (1 - mask) * anew) / (scheduler.betas[t] * later).sqrt()

    config = {**SHORT, "eta": eta}
    states = repaint(
        config, jump, resamplings, noise(SEED, INITIAL), image, mask, lambda x, t, _: evaluate(x, t),
        lambda k: mask * noise(SEED, k, 1) + (1 - mask) * noise(SEED, k), undo_noise,
    )
    return {
        "config": {"_class_name": "RePaintScheduler", **config},
        "jump": jump,
        "resamplings": resamplings,
        "label": LABEL,
        "seed": SEED,
        "image": stored(image),
        "states": [{"max": x.abs().max().item(), "x": stored(x)[:: 1 if k == len(states) - 1 else 8]} for k, x in enumerate(states)],
    }


def network_inversion(steps):
    image = torch.tensor(formula.values("edits", "image", 192)).reshape(1, 3, 8, 8)

    def output(x, k, scheduler):
        times = scheduler.timesteps.tolist()
        if k > 0:
            return evaluate(x, times[k - 1])
        return evaluate(scheduler.alphas_cumprod[times[0]].sqrt() * x, times[0])

    config = {"clip_sample": False}
    _, states = invert(config, steps, image, output)
    return {
        "config": {"_class_name": "DDIMInverseScheduler", **config},
        "steps": steps,
        "label": LABEL,
        "image": stored(image),
        "states": [{"max": x.abs().max().item(), "x": stored(x)[:: 1 if k == steps else 8]} for k, x in enumerate(states)],
    }


LABEL = 2
HALF = [1, 0] * 8
BLEND = [k / 15 for k in range(16)]
ORDERS = [(25, 10, 3), (12, 1, 4), (7, 6, 2), (10, 3, 1), (40, 10, 10)]

torch.set_grad_enabled(False)
torch.set_num_threads(1)
model = unet.build(CASE, SETTINGS, torch.float64).eval()
content = {
    "orders": {" ".join(map(str, each)): order(*each) for each in ORDERS},
    "evaluationsOfPaper": evaluations(order(250, 10, 10)),
    "repaint": {
        "eta 0, jumps of 3": formula_repaint(3, 2, HALF, 0.0),
        "eta 1, jumps of 1": formula_repaint(1, 3, HALF, 1.0, clip_sample=False, gain=0.4),
        "eta 0.5, jumps of 4, a mask that blends, cosine": formula_repaint(4, 3, BLEND, 0.5, beta_schedule="squaredcos_cap_v2"),
    },
    "inversion": {
        "epsilon": formula_inversion(7),
        "epsilon trailing cosine": formula_inversion(5, timestep_spacing="trailing", beta_schedule="squaredcos_cap_v2"),
        "v": formula_inversion(6, -0.4, prediction_type="v_prediction", set_alpha_to_one=False),
        "x0": formula_inversion(6, 0.5, prediction_type="sample", set_alpha_to_one=False),
    },
    "network": {"repaint": network_repaint(3, 2, 1.0), "inversion": network_inversion(5)},
}
formula.write(os.path.join(os.path.dirname(__file__), "edits.json"), content, 13)
for name, run in content["network"].items():
    print(name, [round(state["max"], 3) for state in run["states"]])

"""Checks that unet.py and step.py match this project; needs numpy and Deno, and uses diffusers if installed.

    python check.py

Against the golden data (diffusers' and PyTorch's results in float64): output, loss and gradients, and ten training steps.
Against this project on its adapter: configurations, operations, and the output of every preset from one checkpoint.
Against diffusers: keys, shapes and output. Exits with 1 if an error is larger than float32 rounding explains.
"""

import contextlib
import copy
import json
import os
import subprocess
import sys
import tempfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "../../tests/golden")
sys.path.append(GOLDEN)

import formula
from checkpoint import read_model, read_safetensors
from step import adamw, alphas_cumprod, optimize
from unet import UNet

failed = False


def report(what, error, allowed):
    global failed
    passed = error <= allowed
    failed = failed or not passed
    print(f"{'ok  ' if passed else 'FAIL'} {what}: {error:.2g} (allowed {allowed:.1g})")


def golden(name):
    with open(os.path.join(GOLDEN, f"unet_{name}.json")) as file:
        return json.load(file)


def build(case):
    model = UNet(case["config"])
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = {name: torch.from_numpy(formula.parameter(case["case"], name, shape)) for name, shape in shapes.items()}
    model.load_state_dict(state)
    return model


def tensor(case, name, shape, scale):
    return torch.from_numpy(formula.scaled(case["case"], name, shape, scale))


def off(value, digest):
    """Largest error relative to the largest magnitude of the tensor."""
    ours = formula.digest(value, len(digest["values"]))
    assert ours["shape"] == digest["shape"]
    return max(abs(a - b) for a, b in zip(ours["values"], digest["values"])) / digest["max"]


def check_network(name):
    case = golden(name)
    inputs = case["inputs"]
    model = build(case)
    x, target = (tensor(case, part, inputs["shape"], scale) for part, scale in (("x", 2), ("target", 1.5)))
    labels = None if inputs["labels"] is None else torch.tensor(inputs["labels"])
    output = model(x, torch.tensor(inputs["timesteps"]), labels)
    loss = ((output - target) ** 2).mean()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients.keys() == case["gradients"].keys(), "parameters differ from diffusers'"
    report(f"{name}: output", off(output, case["output"]), 4 * case["float32"]["output"])
    worst = max(off(gradients[key], digest) for key, digest in case["gradients"].items() if digest["max"] > 1e-12)
    report(f"{name}: gradients", worst, 4 * case["float32"]["gradients"])


def check_training(name):
    case = golden(name)
    shape, options = case["shape"], case["options"]
    model = build(case)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = adamw(model, options["lr"], options["weightDecay"])
    cumprod = alphas_cumprod("cpu")
    loss_error = 0
    for k, step in ((int(k), step) for k, step in case["steps"].items()):
        timesteps, labels = torch.tensor(step["timesteps"]), torch.tensor(step["labels"])
        signal = cumprod[timesteps][:, None, None, None]
        noise = tensor(case, f"noise/{k}", shape, 3**0.5)
        x = signal.sqrt() * tensor(case, f"x0/{k}", shape, 1) + (1 - signal).sqrt() * noise
        optimizer.param_groups[0]["lr"] = step["lr"]
        single = contextlib.nullcontext()
        loss, _ = optimize(
            model, average, optimizer, x, timesteps, labels, noise, options["clip"], options["ema"], single
        )
        loss_error = max(loss_error, abs(loss.item() / step["loss"] - 1))
    report(f"{name}: losses of ten steps", loss_error, 10 * case["float32"]["loss"])
    for what, network, digests in (("weights", model, case["weights"]), ("ema", average, case["emaWeights"])):
        state = network.state_dict()
        worst = max(off(state[key], digest) * digest["max"] for key, digest in digests.items())
        report(f"{name}: {what} after ten steps", worst, 10 * case["float32"][what])


def deno(*arguments):
    command = ["deno", "run", "-A", os.path.join(HERE, "reference.ts"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def check_preset(name, preset, directory):
    adapter = deno("network", name, directory)
    config, weights = read_model(directory)
    assert config == preset["config"]
    model = UNet(config).eval()
    model.load_state_dict(weights)
    expected = read_safetensors(os.path.join(directory, "expected.safetensors"))
    inputs = (expected["x"], expected["timesteps"], expected["labels"].long())
    with torch.no_grad():
        output = model(*inputs)
        scale = output.abs().max()
        report(f"{name}: output here and on {adapter}", ((output - expected["output"]).abs().max() / scale).item(), 1e-5)
        try:
            import diffusers
        except ImportError:
            return print("     diffusers is not installed")
        settings = {key: value for key, value in config.items() if key != "_class_name"}
        theirs = diffusers.UNet2DModel(**settings).eval()
        shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (model, theirs)]
        assert shapes[0] == shapes[1], "keys or shapes differ from diffusers'"
        theirs.load_state_dict(weights)
        error = (output - theirs(*inputs).sample).abs().max() / scale
        report(f"{name}: {len(shapes[0])} keys as in diffusers {diffusers.__version__}, output", error.item(), 1e-5)


def main():
    torch.set_num_threads(1)
    for name in ("reference32", "heads", "classes", "unaligned"):
        check_network(name)
    for name in ("train_adam", "train_adamw"):
        check_training(name)
    with open(os.path.join(HERE, "presets.json")) as file:
        presets = json.load(file)
    assert presets == json.loads(deno("presets")), "presets.json is out of date: regenerate it, see README.md"
    with tempfile.TemporaryDirectory() as directory:
        for name, preset in presets.items():
            check_preset(name, preset, os.path.join(directory, name))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

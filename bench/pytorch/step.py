"""Times training or sampling steps of a preset in PyTorch, as `deno task bench` does here; prints one JSON object.

    python step.py --preset ddpm --batch 128 --precision bfloat16 --device cuda --steps 30
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads must not count as CPU time

import torch
from torch.nn import functional as F

from unet import UNet

CLASSES = 10
TIMESTEPS = 1000
CPU_BATCHES = {"tiny": 16, "small": 4, "ddpm": 1}
EMA_DECAY, LEARNING_RATE, CLIP, LABEL_DROPOUT = 0.9999, 2e-4, 1.0, 0.1


def alphas_cumprod(device):
    betas = torch.linspace(1e-4, 0.02, TIMESTEPS, dtype=torch.float64)
    return torch.cumprod(1 - betas, 0).float().to(device)


def adamw(model, learning_rate, weight_decay=0.0):
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, eps=1e-8, weight_decay=weight_decay, fused=True)


def optimize(model, average, optimizer, x, timesteps, labels, noise, clip, decay, precision):
    """One optimizer step: loss, gradients, clipping, AdamW, EMA. Returns the loss and the norm before clipping."""
    with precision:
        predicted = model(x, timesteps, labels)
    loss = F.mse_loss(predicted.float() if predicted.dtype != torch.float64 else predicted, noise)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    return loss.detach(), norm


def training(model, run, batch, precision, layout):
    """Returns a function that runs one training step; batches are drawn, flipped and noised on the device."""
    device = next(model.parameters()).device
    cumprod = alphas_cumprod(device)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = adamw(model, LEARNING_RATE)
    images = torch.randint(0, 256, (max(batch, 256), 3, 32, 32), dtype=torch.uint8, device=device)
    classes = torch.randint(0, CLASSES, (len(images),), device=device)
    model.train()

    def step():
        chosen = torch.randint(0, len(images), (batch,), device=device)
        x0 = images[chosen].float() / 127.5 - 1
        x0 = torch.where(torch.rand(batch, 1, 1, 1, device=device) < 0.5, x0.flip(3), x0)
        labels = torch.where(torch.rand(batch, device=device) < LABEL_DROPOUT, CLASSES, classes[chosen])
        timesteps = torch.randint(0, TIMESTEPS, (batch,), device=device)
        signal = cumprod[timesteps][:, None, None, None]
        noise = torch.randn_like(x0)
        x = (signal.sqrt() * x0 + (1 - signal).sqrt() * noise).contiguous(memory_format=layout)
        optimize(run, average, optimizer, x, timesteps, labels, noise, CLIP, EMA_DECAY, precision)

    return step


def sampling(model, run, batch, precision, layout, steps=50):
    """Returns a function that runs one DDIM step of a whole batch, without guidance."""
    device = next(model.parameters()).device
    cumprod = alphas_cumprod(device)
    labels = torch.arange(batch, device=device) % CLASSES
    timesteps = list(range(TIMESTEPS - TIMESTEPS // steps, -1, -TIMESTEPS // steps))
    state = {"x": torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=layout), "at": 0}
    model.eval()

    @torch.inference_mode()
    def step():
        t = timesteps[state["at"] % len(timesteps)]
        now = cumprod[t]
        then = cumprod[t - TIMESTEPS // steps] if t >= TIMESTEPS // steps else torch.ones_like(now)
        with precision:
            epsilon = run(state["x"], torch.full((batch,), t, device=device), labels).float()
        x0 = ((state["x"] - (1 - now).sqrt() * epsilon) / now.sqrt()).clamp(-1, 1)
        epsilon = (state["x"] - now.sqrt() * x0) / (1 - now).sqrt()
        state["x"] = then.sqrt() * x0 + (1 - then).sqrt() * epsilon
        state["at"] += 1

    return step


def measure(step, device, count, limit):
    """Seconds of each step, by CUDA events on a GPU, and CPU seconds of all steps."""
    end = time.monotonic() + limit
    processor = time.process_time()
    seconds = []
    if device == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        marks[0].record()
        for taken, mark in enumerate(marks[1:], 1):
            step()
            mark.record()
            if taken % 8 == 0:  # the limit is for the device, which lags behind the host
                mark.synchronize()
                if time.monotonic() > end:
                    break
        torch.cuda.synchronize()
        seconds = [a.elapsed_time(b) / 1000 for a, b in zip(marks[:taken], marks[1:])]
    else:
        for _ in range(count):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
            if time.monotonic() > end:
                break
    return seconds, time.process_time() - processor


def describe(device):
    if device == "cuda":
        return {"device": torch.cuda.get_device_name(), "driver": driver(), "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    return {"device": processor_name(), "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads()}  # fmt: skip


def driver():
    with contextlib.suppress(OSError, AttributeError):
        with open("/proc/driver/nvidia/version") as file:
            return re.search(r"Module\s+(?:for \S+\s+)?([\d.]+)", file.read())[1]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    return "unknown"


def processor_name():
    with contextlib.suppress(OSError, AttributeError):
        with open("/proc/cpuinfo") as file:
            return re.search(r"model name\s*: (.*)", file.read())[1].strip()
    return platform.processor() or platform.machine()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=["training", "sampling"], default="training")
    parser.add_argument("--preset", choices=["tiny", "small", "ddpm"], default="small")
    parser.add_argument("--batch", type=int, help="batch size (default 128; on a CPU that of bench)")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32",
                        help="float32 never takes TF32; bfloat16 is autocast over float32 weights")  # fmt: skip
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20, help="timed steps, after --warmup (default 20)")
    parser.add_argument("--warmup", type=int, default=3, help="warm-up steps, not timed (default 3)")
    parser.add_argument("--seconds", type=float, default=60, help="time limit for beginning a step (default 60)")
    parser.add_argument("--threads", type=int, help="CPU threads (default PyTorch's)")
    parser.add_argument("--channels-last", action="store_true", help="NHWC memory format")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    options = parser.parse_args()
    if options.batch is None:
        options.batch = CPU_BATCHES[options.preset] if options.device == "cpu" else 128
    if min(options.batch, options.steps) < 1:
        parser.error("--batch and --steps must be 1 or more")
    return options


def main():
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "presets.json")) as file:
        preset = json.load(file)[options.preset]
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model = UNet(preset["config"]).to(options.device, memory_format=layout)
    run = torch.compile(model) if options.compile else model
    bfloat16 = options.precision == "bfloat16"
    precision = torch.autocast(options.device, torch.bfloat16, enabled=bfloat16)
    make = training if options.what == "training" else sampling
    step = make(model, run, options.batch, precision, layout)

    start = time.perf_counter()
    for _ in range(max(1, options.warmup)):
        step()
    if options.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    warm_up = time.perf_counter() - start
    seconds, processor = measure(step, options.device, options.steps, options.seconds)

    median = statistics.median(seconds)
    flops = options.batch * preset["flopsPerImage"]["step" if options.what == "training" else "forward"]
    if options.device == "cuda":
        memory = {"peakMiB": torch.cuda.max_memory_allocated() >> 20, "reservedMiB": torch.cuda.memory_reserved() >> 20}
    else:
        memory = {"peakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}
    result = {
        "what": options.what, "preset": options.preset, "parameters": sum(p.numel() for p in model.parameters()),
        "batch": options.batch, "precision": options.precision, "channelsLast": options.channels_last,
        "compiled": options.compile, "torch": torch.__version__, **describe(options.device), "steps": len(seconds),
        "stepsPerSecond": 1 / median, "slowest": 1 / max(seconds), "fastest": 1 / min(seconds),
        "imagesPerSecond": options.batch / median, "gflops": flops / median / 1e9,
        "processorSecondsPerStep": processor / len(seconds), "warmUpSeconds": warm_up, **memory,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures our program beside PyTorch, ONNX Runtime, OpenVINO and h5py, alternately in one run, and prints the ratios.

`tools/benchmark` calls it with what it needs. The sides are processes that speak the protocol of
benchmark_contender.py: all are warm, one works at a time, round after round in turn. The other side's figure is that of
its best variant, the ratio the median of the rounds' ratios: what disturbs the machine for longer than a round disturbs
both sides of it. Variants that warm up far more slowly than another of the row (PyTorch's bfloat16 takes minutes a step
where the processor has none) are left out of the rounds, and named: they can't be the best.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

import resnet
import state_file

HERE = Path(__file__).resolve().parent

ROW_32 = ["--image-size", "32", "--channels", "1", "--classes", "10", "--batch-size", "64"]
ROW_28 = ["--image-size", "28", "--channels", "1", "--classes", "10", "--batch-size", "64"]
ROW_224 = ["--image-size", "224", "--channels", "3", "--classes", "1000", "--batch-size", "8"]
ROW_224_ONE = ["--image-size", "224", "--channels", "3", "--classes", "1000", "--batch-size", "1"]

CONTIGUOUS = {"PyTorch contiguous": ["--engine", "torch"]}
CHANNELS_LAST = {"PyTorch channels-last": ["--engine", "torch", "--channels-last"]}
TORCH = CONTIGUOUS | CHANNELS_LAST
TORCH_BF16 = {f"{name} bf16": [*arguments, "--precision", "bf16"] for name, arguments in TORCH.items()}
RUNTIMES = {"ONNX Runtime": ["--engine", "onnxruntime"], "OpenVINO": ["--engine", "openvino"]}
OPENVINO_BF16 = {"OpenVINO bf16": ["--engine", "openvino", "--precision", "bf16"]}
MICRO = ["--row", "convolution", "--steps", "1000", "--warm-up", "1000"]


@dataclass
class Row:
    key: str
    title: str
    target: float  # what the other side's time over ours is at least
    arguments: list  # of all sides
    others: dict  # the other sides' arguments, by name
    ours: list = field(default_factory=list)  # of our side alone
    our_others: dict = field(default_factory=dict)  # our own program compared with, by name
    steps: int = 5
    quick: bool = True


ROWS = [
    Row("train-32", "training 32x32", 2.5, ["--row", "train", *ROW_32], TORCH),
    Row("train-28", "training 28x28", 3.0, ["--row", "train", *ROW_28], TORCH),
    Row("train-224", "training 224x224", 1.15, ["--row", "train", *ROW_224], TORCH, steps=1),
    Row("train-32-bf16", "training 32x32 bf16, any precision of theirs", 3.3, ["--row", "train", *ROW_32],
        TORCH | TORCH_BF16, ours=["--precision", "bf16"]),
    Row("inference-32", "inference 32x32", 1.7, ["--row", "inference", *ROW_32], TORCH | RUNTIMES, steps=10),
    Row("inference-28", "inference 28x28", 1.7, ["--row", "inference", *ROW_28], TORCH | RUNTIMES, steps=10,
        quick=False),
    Row("inference-224", "inference 224x224", 0.95, ["--row", "inference", *ROW_224], TORCH | RUNTIMES, steps=3,
        quick=False),
    Row("inference-224-1", "inference 224x224 batch 1", 0.95, ["--row", "inference", *ROW_224_ONE], TORCH | RUNTIMES,
        steps=10),
    Row("inference-32-bf16", "inference 32x32 bf16", 1.3, ["--row", "inference", *ROW_32], TORCH_BF16 | OPENVINO_BF16,
        ours=["--precision", "bf16"], steps=10),
    Row("convolution", "1000 small backward passes", 4, MICRO,
        {"PyTorch": ["--engine", "torch"], "PyTorch, one thread": ["--engine", "torch", "--threads", "1"]},
        ours=["--implementation", "matrix"]),
    Row("convolution-loops", "the same, our loops / our product", 10, MICRO, {}, ours=["--implementation", "matrix"],
        our_others={"our loops": ["--implementation", "loops"]}),
    Row("load", "state dict load", 2, ["--row", "load", *ROW_32], {"h5py": ["--engine", "h5py"]}, steps=3),
    Row("save", "state dict save, fsync", 1, ["--row", "save", *ROW_32], {"h5py": ["--engine", "h5py"]}, steps=3),
    Row("threads", "training 32x32, one thread / two", 1.85, ["--row", "train", *ROW_32], {},
        ours=["--threads", "2"], our_others={"one thread": ["--threads", "1"]}, steps=3),
]
HOPELESS = 4  # times the fastest variant's warm step: one so slow is not the best in any round
PATIENCE = 5  # times the longest warm-up before it in the row, and at least LEAST_PATIENCE
LEAST_PATIENCE = 5  # seconds
MEMORY = {"train-32": "memory", "train-224": "memory-224"}  # rows whose peak memory is compared, and the row it makes
MEMORY_TARGET = 0.7  # ours over theirs, at most


class ContenderError(Exception):
    pass


class TooSlow(Exception):
    """A variant that can't be the best."""


class Contender:
    """A process that measures a round whenever it is told to."""

    def __init__(self, name, command):
        self.name, self.command, self.seconds, self.end = name, command, [], {}
        self.peaks, self.distances, self.warm_up = [], [], None
        self.errors = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=self.errors, text=True, bufsize=1)
        except OSError as error:
            raise ContenderError(f"{name} does not start: {error}") from error

    def event(self, kind):
        """The next event, which has to be of that kind."""
        line = self.process.stdout.readline()
        try:
            event = json.loads(line)
        except ValueError:
            event = {}
        if event.get("event") != kind:
            self.process.kill()
            self.process.wait()
            self.errors.seek(0)
            cause = self.errors.read().strip().splitlines()
            raise ContenderError(f"{self.name}: {cause[-1] if cause else f'{line.strip()!r} in place of {kind}'}")
        return event

    def wait_until_ready(self, patience):
        """Returns when it is warm, or ends it when that takes longer than `patience` seconds from when it has loaded."""
        self.event("loaded")
        start = time.perf_counter()
        limit = threading.Timer(patience, self.process.kill)
        limit.start()
        try:
            self.ready = self.event("ready")
        except ContenderError as error:
            if time.perf_counter() - start > patience:
                raise TooSlow(f"not warm after {patience:.0f} s") from error
            raise
        finally:
            limit.cancel()
        self.warm_up = time.perf_counter() - start

    def go(self):
        self.process.stdin.write("go\n")
        event = self.event("round")
        self.seconds.append(event["seconds"])
        if "peak_gflops" in event:
            self.peaks.append(event["peak_gflops"])
        if "processor_distance_ns" in event:
            self.distances.append(event["processor_distance_ns"])

    def finish(self):
        self.process.stdin.close()
        self.end = self.event("end")
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.errors.close()

    def figures(self):
        figures = dict(median=statistics.median(self.seconds), rounds=self.seconds, **self.end)
        figures |= {"check": self.ready["check"]} if "check" in self.ready else {}
        figures |= {"peaks_gflops": self.peaks} if self.peaks else {}
        figures |= {"processor_distances_ns": self.distances} if self.distances else {}
        return {key: value for key, value in figures.items() if key != "event"}


class Benchmark:
    def __init__(self, program, folder, threads, rounds):
        self.program, self.folder, self.threads, self.rounds = program, folder, threads, rounds

    def files(self, row):
        """Weights and images that all sides of a row use; made once for each shape."""
        if "--image-size" not in row.arguments:
            return []
        size, channels, classes, batch = row_shape(row).values()
        weights = self.folder / f"weights-{channels}-{classes}.h5"
        data = self.folder / f"data-{batch}-{channels}-{size}.h5"
        torch.manual_seed(0)
        if not weights.exists():
            model = resnet.build("resnet101", channels, classes)
            resnet.soften_residual_branches(model)
            state_file.write(weights, model.state_dict())
        if not data.exists():
            state_file.write(data, {"images": torch.rand(batch, channels, size, size),
                                    "labels": torch.randint(classes, (batch,))})
        return ["--weights", str(weights), "--data", str(data)]

    def commands(self, row):
        """The command of each side by its name, ours first."""
        common = [*row.arguments, *self.files(row), "--threads", str(self.threads)]
        if "--steps" not in row.arguments:
            common += ["--steps", str(row.steps)]
        ours = [*self.program, "benchmark", "--json", *common]
        theirs = [sys.executable, str(HERE / "benchmark_contender.py"), *common]
        commands = {"ours": [*ours, *row.ours]}
        commands |= {name: [*theirs, *arguments] for name, arguments in row.others.items()}
        commands |= {name: [*ours, *row.ours, *arguments] for name, arguments in row.our_others.items()}
        if row.key == "save":
            commands = {name: [*command, "--file", str(self.folder / f"saved-{index}.h5")]
                        for index, (name, command) in enumerate(commands.items())}
        return commands

    def measure(self, row):
        """The row's figures. Each side that fails is named; the row needs ours and one other."""
        contenders, running, failures, left_out = [], [], [], {}
        try:
            for name, command in self.commands(row).items():  # one after the other, or they would disturb each other
                try:
                    contenders.append(Contender(name, command))
                    contenders[-1].wait_until_ready(patience(running))
                    running.append(contenders[-1])
                except ContenderError as error:
                    failures.append(str(error))
                except TooSlow as error:
                    contenders[-1].stop()
                    left_out[name] = str(error)
            for contender in hopeless(running):
                contender.stop()
                running.remove(contender)
                left_out[contender.name] = f"{amount(contender.ready['seconds'], 'seconds')} a step when warm"
            for _ in range(self.rounds):
                for contender in running:
                    contender.go()
            for contender in running:
                contender.finish()
        except ContenderError as error:
            failures.append(str(error))
            running = []
        finally:
            for contender in contenders:
                contender.stop()
        result = row_result(row, {contender.name: contender.figures() for contender in running}, failures)
        return result | ({"left_out": left_out} if left_out else {})


def patience(contenders):
    """Seconds in which another side of the row has to be warm; the first one may take its time."""
    warm_ups = [contender.warm_up for contender in contenders]
    return max(LEAST_PATIENCE, PATIENCE * max(warm_ups)) if warm_ups else threading.TIMEOUT_MAX


def hopeless(contenders):
    """Those of the other sides' variants, with a step each, that are far slower than the fastest of them."""
    others = [contender for contender in contenders if contender.name != "ours"]
    fastest = min((other.ready["seconds"] for other in others), default=0)
    return [other for other in others if other.ready["seconds"] > HOPELESS * fastest]


def step_gflop(row):
    """Billions of operations of a step, 2 a multiply-add of a convolution or linear layer, products with padding too.

    A training step has three times those of a forward pass, but for the stem, whose input needs no gradient.
    """
    if not row.arguments or row.arguments[1] not in ("train", "inference"):
        return None
    shape = row_shape(row)
    counts = []

    def count(layer, inputs, output):
        counts.append(2 * output.numel() * layer.weight[0].numel())

    with torch.device("meta"):
        model = resnet.build("resnet101", shape["channels"], shape["classes"]).eval()
        for layer in model.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                layer.register_forward_hook(count)
        model(torch.empty(shape["batch-size"], shape["channels"], shape["image-size"], shape["image-size"]))
    total = sum(counts) if row.arguments[1] == "inference" else 3 * sum(counts) - counts[0]
    return total / 1e9


def row_shape(row):
    """The sizes in a row's arguments."""
    return {name: int(row.arguments[row.arguments.index(f"--{name}") + 1])
            for name in ("image-size", "channels", "classes", "batch-size")}


def row_result(row, sides, failures):
    result = dict(key=row.key, title=row.title, target=row.target, sides=sides, failures=failures)
    others = {name: side["median"] for name, side in sides.items() if name != "ours"}
    if "ours" in sides and others:
        ours = sides["ours"]
        result["best_other"] = min(others, key=others.get)
        rounds = zip(sides[result["best_other"]]["rounds"], ours["rounds"])
        result["ratio"] = statistics.median(theirs / own for theirs, own in rounds)
        if gflop := step_gflop(row):
            result["gflops"] = gflop / ours["median"]
            if "bf16" not in row.key:
                rounds = zip(ours["rounds"], ours["peaks_gflops"])
                result["share_of_peak"] = statistics.median(gflop / time / peak for time, peak in rounds)
        checks = {name: side["check"] for name, side in sides.items() if "check" in side}
        tolerance = 0.1 if "bf16" in row.key else 0.01
        if any(abs(check - ours.get("check", check)) > tolerance * abs(check) for check in checks.values()):
            failures.append(f"the sides do not compute the same: {checks}")
    return result


def memory_result(row_result):
    """The row on peak memory that a training row makes: ours over the thriftiest variant of PyTorch."""
    memory = {name: side["peak_memory_bytes"] for name, side in row_result["sides"].items()
              if "peak_memory_bytes" in side}
    result = dict(key=MEMORY[row_result["key"]], title=f"peak memory, {row_result['title']}", target=MEMORY_TARGET,
                  memory=memory, sides={}, failures=[])
    others = {name: size for name, size in memory.items() if name != "ours"}
    if "ours" in memory and others:
        result["best_other"] = min(others, key=others.get)
        result["ratio"] = memory["ours"] / others[result["best_other"]]
    return result


def start_result(program, folder, threads, rounds):
    """From starting the command until its first training step is done, on images that are made for it."""
    images = folder / "idx"
    images.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    for prefix in ("train", "t10k"):
        pixels = torch.randint(256, (64, 28, 28), generator=generator, dtype=torch.uint8).numpy().tobytes()
        labels = (torch.arange(64) % 10).to(torch.uint8).numpy().tobytes()
        header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (64, 28, 28))
        (images / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels)
        (images / f"{prefix}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + (64).to_bytes(4, "big") + labels)
    settings = ["--data", str(images), "--model", "resnet101", "--image-size", "32", "--threads", str(threads)]
    commands = {"ours": [*program, "train", "--json", *settings],
                "PyTorch": [sys.executable, str(HERE / "train_mnist.py"), "--fused", *settings]}
    seconds, failures = {name: [] for name in commands}, []
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                lines = iter(process.stdout.readline, "")
                found = any(line.lstrip().startswith("{") and json.loads(line)["event"] == "step" for line in lines)
                elapsed = time.perf_counter() - start
                process.kill()
                if found:
                    seconds[name].append(elapsed)
                else:
                    failures.append(f"{name}: {process.stderr.read().strip().splitlines()[-1:]}")
    row = Row("start", "start until the first step", 1, [], {})
    sides = {name: dict(median=statistics.median(times), rounds=times) for name, times in seconds.items() if times}
    return row_result(row, sides, failures)


def describe_machine(threads):
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return dict(processor=model, cores=os.cpu_count(), threads=threads, torch=torch.__version__,
                load=os.getloadavg()[0])


def amount(value, unit):
    """A figure with three digits, in a unit that fits."""
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def print_row(result):
    if "ratio" not in result:
        print(f"| {result['title']} | - | - | | | {result['target']} | | |")
    else:
        unit = "bytes" if "memory" in result else "seconds"
        figures = result.get("memory") or {name: side["median"] for name, side in result["sides"].items()}
        bound = "at most " if unit == "bytes" else ""
        speed = ""
        if "gflops" in result:
            share = f", {result['share_of_peak']:.0%} of the peak" if "share_of_peak" in result else ""
            speed = f"{result['gflops']:.0f} GFLOP/s{share}"
        distances = result["sides"].get("ours", {}).get("processor_distances_ns")
        distance = f"{statistics.median(distances):.0f} ns" if distances else ""
        print(f"| {result['title']} | {amount(figures['ours'], unit)} | {amount(figures[result['best_other']], unit)} | "
              f"{result['best_other']} | {result['ratio']:.2f} | {bound}{result['target']} | {speed} | {distance} |")
    for name, reason in result.get("left_out", {}).items():
        print(f"benchmark: {result['key']}: {name} is left out: {reason}", file=sys.stderr)
    for failure in result["failures"]:
        print(f"benchmark: {result['key']}: {failure}", file=sys.stderr)
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(prog="tools/benchmark", description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, within 5 minutes")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these: " + ", ".join(row.key for row in ROWS)
                        + ", start")
    parser.add_argument("--rounds", type=int, help="rounds of each side (7, or 3 with --quick)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    keys = {row.key for row in ROWS} | {"start"}
    unknown = set(arguments.rows or []) - keys
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    program = arguments.program.split()
    chosen = arguments.rows or [row.key for row in ROWS if row.quick or not arguments.quick] + ["start"]

    machine = describe_machine(arguments.threads)
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("\n| row | ours | theirs | which | theirs / ours | at least | ours | distance |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- |")
    results = []
    folder = Path(tempfile.mkdtemp(prefix="residual-benchmark-"))
    try:
        benchmark = Benchmark(program, folder, arguments.threads, rounds)
        for row in (row for row in ROWS if row.key in chosen):
            results.append(benchmark.measure(row))
            print_row(results[-1])
            if row.key in MEMORY:
                results.append(memory_result(results[-1]))
                print_row(results[-1])
        if "start" in chosen:
            results.append(start_result(program, folder, arguments.threads, rounds))
            print_row(results[-1])
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        arguments.json.write_text(json.dumps(dict(machine=machine, rows=results), indent=1) + "\n")
    if any("ratio" not in result or result["failures"] for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()

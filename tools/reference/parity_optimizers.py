"""Ten optimizer steps on given gradients, with the parameters after each step, and gradients clipped by their norm, in
float64 and in float32.

optimizers.json lists the cases: name, optimizer ("sgd", "adam", "adamw"), arguments, steps, parameters. optimizers.h5:
`initial.P` and `gradient.STEP.P` (float32; the same for all cases), `NAME.expected.STEP.P` (float64) and
`NAME.torch32.STEP.P` (float32); STEP counts from 1. clipping.json lists the largest norms allowed: name, max_norm.
`NAME.expected.norm` and `NAME.expected.P` in optimizers.h5 are the norm before and the gradients after `clip_grad_norm_` of
step 1's gradients, `NAME.torch32.*` the same in float32.
"""

import json

import torch

import state_file

STEPS = 10
SHAPES = {"weight": (37, 29), "bias": (37,), "scalar": (1,), "kernel": (8, 3, 3, 3)}

SGD = dict(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
ADAM = dict(lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
CASES = [
    ("sgd", "sgd", SGD),
    ("sgd-momentum", "sgd", SGD | dict(momentum=0.9)),
    ("sgd-dampening", "sgd", SGD | dict(momentum=0.9, dampening=0.5)),
    ("sgd-nesterov", "sgd", SGD | dict(momentum=0.9, nesterov=True)),
    ("sgd-weight-decay", "sgd", SGD | dict(weight_decay=0.01)),
    ("sgd-everything", "sgd", SGD | dict(lr=0.03, momentum=0.8, weight_decay=5e-4, nesterov=True)),
    ("adam", "adam", ADAM),
    ("adam-weight-decay", "adam", ADAM | dict(weight_decay=0.01)),
    ("adam-eps", "adam", ADAM | dict(lr=0.01, eps=1e-3)),
    ("adam-betas", "adam", ADAM | dict(lr=0.01, betas=[0.8, 0.99])),
    ("adamw", "adamw", ADAM | dict(weight_decay=0.01)),
]
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def run(optimizer, arguments, initial, gradients, dtype):
    """The parameters after each step."""
    parameters = {name: torch.nn.Parameter(value.to(dtype, copy=True)) for name, value in initial.items()}
    optimizer = OPTIMIZERS[optimizer](list(parameters.values()), **arguments)
    results = {}
    for step in range(1, STEPS + 1):
        for name, parameter in parameters.items():
            parameter.grad = gradients[step, name].to(dtype)
        optimizer.step()
        results |= {f"{step}.{name}": parameter.detach().clone() for name, parameter in parameters.items()}
    return results


CLIPPING = {"clip-to-zero": 0.0, "clip-small": 0.01, "clip-by-half": 80.0, "clip-nothing": 1e6}


def clip(max_norm, gradients, dtype):
    """The norm of the first step's gradients, and what `clip_grad_norm_` leaves of them."""
    parameters = {name: torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for name, shape in SHAPES.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradients[1, name].to(dtype, copy=True)
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm, error_if_nonfinite=True)
    return {"norm": norm} | {name: parameter.grad for name, parameter in parameters.items()}


def write(folder):
    torch.manual_seed(2015)
    initial = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    gradients = {(step, name): torch.randn(shape) * 10.0 ** torch.randint(-3, 2, shape)
                 for step in range(1, STEPS + 1) for name, shape in SHAPES.items()}
    gradients[3, "bias"].zero_()
    content = {f"initial.{name}": value for name, value in initial.items()}
    content |= {f"gradient.{step}.{name}": value for (step, name), value in gradients.items()}
    for name, optimizer, arguments in CASES:
        for run_name, dtype in (("expected", torch.float64), ("torch32", torch.float32)):
            results = run(optimizer, arguments, initial, gradients, dtype)
            content |= {f"{name}.{run_name}.{key}": value for key, value in results.items()}
    for name, max_norm in CLIPPING.items():
        for run_name, dtype in (("expected", torch.float64), ("torch32", torch.float32)):
            content |= {f"{name}.{run_name}.{key}": value for key, value in clip(max_norm, gradients, dtype).items()}
    state_file.write(folder / "optimizers.h5", content)
    entries = [dict(name=name, file="optimizers.h5", optimizer=optimizer, arguments=arguments, steps=STEPS,
                    parameters=list(SHAPES)) for name, optimizer, arguments in CASES]
    (folder / "optimizers.json").write_text(json.dumps(entries, indent=1) + "\n")
    clipping = [dict(name=name, max_norm=max_norm) for name, max_norm in CLIPPING.items()]
    (folder / "clipping.json").write_text(json.dumps(clipping, indent=1) + "\n")

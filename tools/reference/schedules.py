#!/usr/bin/env python3
"""The learning rates that torch.optim.lr_scheduler gives over 40 steps, as JSON on standard output: a list by name."""

import json

import torch
from torch.optim import lr_scheduler

STEPS = 40
BASE = 0.1
WARM_UP = 5

DECAYS = {
    "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.3),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.002),
}


def rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimizer)
    values = []
    for _ in range(STEPS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def warmed_up(make):
    return lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=WARM_UP), make(optimizer)],
        milestones=[WARM_UP])


print(json.dumps({name: rates(make) for name, make in DECAYS.items()}
                 | {f"{name}-warm-up": rates(warmed_up(make)) for name, make in DECAYS.items()}))

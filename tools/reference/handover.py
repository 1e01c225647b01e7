#!/usr/bin/env python3
"""Training that changes hands in the middle: what PyTorch hands over, and what it makes of what it is handed.

    handover.py start FOLDER --optimizer adam
    handover.py finish FOLDER HANDED.pth

`start` trains for STEPS + STEPS steps on random images, in float64 and in float32, and writes to FOLDER: start.h5 (the
weights before), batches.h5 (`images.STEP`, `labels.STEP`), middle.pth (`{"model", "optimizer"}` of the float32 run after
STEPS steps, as training scripts save it), and the weights after all steps, end.float64.h5 and end.float32.h5.

`finish` loads a file of that form after STEPS steps of somebody else, takes the other STEPS, and writes finished.h5.
"""

import argparse
import copy
import json
from pathlib import Path

import torch

import state_file

STEPS = 3
BATCH = 8
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, dict(lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=True)),
    "adam": (torch.optim.Adam, dict(lr=1e-2, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.01)),
    "adamw": (torch.optim.AdamW, dict(lr=1e-2, eps=1e-3, weight_decay=0.05)),
}


class SmoothNetwork(torch.nn.Module):
    """Rounding stays rounding here: no ReLU turns it into another gradient, and with these eps no Adam into another sign."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 6, 3, padding=1)
        self.fc = torch.nn.Linear(6 * 8 * 8, 10)

    def forward(self, x):
        return self.fc(torch.sigmoid(self.conv(x)).flatten(1))


def train(model, optimizer, batches, dtype):
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images.to(dtype)), labels).backward()
        optimizer.step()


def make_optimizer(name, model):
    kind, arguments = OPTIMIZERS[name]
    return kind(model.parameters(), **arguments)


def start(folder, arguments):
    torch.manual_seed(2015)
    initial = SmoothNetwork()
    batches = [(torch.rand(BATCH, 2, 8, 8), torch.randint(10, (BATCH,))) for _ in range(2 * STEPS)]
    state_file.write(folder / "start.h5", initial.state_dict())
    state_file.write(folder / "batches.h5",
                     {f"images.{step}": images for step, (images, _) in enumerate(batches)}
                     | {f"labels.{step}": labels for step, (_, labels) in enumerate(batches)})
    for dtype in (torch.float64, torch.float32):
        model = copy.deepcopy(initial).to(dtype)
        optimizer = make_optimizer(arguments.optimizer, model)
        train(model, optimizer, batches[:STEPS], dtype)
        if dtype == torch.float32:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "middle.pth")
        train(model, optimizer, batches[STEPS:], dtype)
        state_file.write(folder / f"end.{str(dtype).removeprefix('torch.')}.h5", model.state_dict())
    (folder / "settings.json").write_text(
        json.dumps(dict(optimizer=arguments.optimizer)) + "\n")


def finish(folder, handed):
    settings = json.loads((folder / "settings.json").read_text())
    content = state_file.read(folder / "batches.h5")
    batches = [(content[f"images.{step}"], content[f"labels.{step}"]) for step in range(STEPS, 2 * STEPS)]
    checkpoint = torch.load(handed, weights_only=True)
    model = SmoothNetwork()
    model.load_state_dict(checkpoint["model"])
    # Other hyperparameters than those of the file: load_state_dict has to bring them.
    kind, _ = OPTIMIZERS[settings["optimizer"]]
    optimizer = kind(model.parameters(), lr=0.5)
    optimizer.load_state_dict(checkpoint["optimizer"])
    train(model, optimizer, batches, torch.float32)
    state_file.write(folder / "finished.h5", model.state_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("start")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--optimizer", required=True, choices=OPTIMIZERS)
    verb = verbs.add_parser("finish")
    verb.add_argument("folder", type=Path)
    verb.add_argument("handed", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.verb == "start":
        start(arguments.folder, arguments)
    else:
        finish(arguments.folder, arguments.handed)


if __name__ == "__main__":
    main()

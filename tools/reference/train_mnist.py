#!/usr/bin/env python3
"""Trains a reference network on MNIST in PyTorch, as `resnet train` does in Swift, to set the two beside each other.

    train_mnist.py --data FOLDER [--model resnet101] [--epochs 1] [--batch-size 64] [--lr 1e-3] [--seed 0]

Seed and order are those of the Swift side: weights from torch.manual_seed(seed), images in the order of
torch.randperm from a generator seeded with seed + epoch, or as --order says. Standard output has one JSON object a
line: {"event":"step","epoch","step","loss","images_per_second"}, after each phase {"event":"epoch","epoch","phase",
"loss","accuracy","f1","seconds","images_per_second"} and at the end {"event":"end","peak_memory_bytes"}.
"""

import argparse
import contextlib
import json
import resource
import sys
import time

import torch

import mnist
import resnet


def macro_f1(confusion):
    """The mean of each class's F1; classes that are neither there nor predicted are left out, as in scikit-learn."""
    sums = confusion.sum(0) + confusion.sum(1)
    return (2 * confusion.diag().double() / sums)[sums > 0].mean().item()


def report(**fields):
    print(json.dumps(fields), flush=True)


class Run:
    def __init__(self, arguments):
        self.arguments = arguments
        self.memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
        torch.manual_seed(arguments.seed)
        self.model = resnet.build(arguments.model, 1, 10).to(memory_format=self.memory_format)
        if arguments.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=arguments.lr, fused=arguments.fused)
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=arguments.lr, momentum=arguments.momentum)

    def order(self, epoch, count):
        if self.arguments.order:
            with open(self.arguments.order) as file:
                orders = json.load(file)
            return torch.tensor(orders[epoch] if isinstance(orders[0], list) else orders)
        if self.arguments.no_shuffle:
            return torch.arange(count)
        return torch.randperm(count, generator=torch.Generator().manual_seed(self.arguments.seed + epoch))

    def phase(self, epoch, name, images, labels):
        """One pass over a split: training steps for "train", predictions for "test"."""
        training = name == "train"
        self.model.train(training)
        order = self.order(epoch, len(images)) if training else torch.arange(len(images))
        confusion, total, start = torch.zeros(10, 10, dtype=torch.int64), 0.0, time.perf_counter()
        precision = torch.autocast("cpu", torch.bfloat16) if self.arguments.bf16 else contextlib.nullcontext()
        for step, indices in enumerate(order.split(self.arguments.batch_size), 1):
            if training and self.arguments.steps and step > self.arguments.steps:
                break
            begin = time.perf_counter()
            x = mnist.pixels(images[indices], self.arguments.image_size).contiguous(memory_format=self.memory_format)
            with torch.set_grad_enabled(training), precision:
                logits = self.model(x)
                loss = torch.nn.functional.cross_entropy(logits, labels[indices])
            if training:
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            total += loss.item() * len(indices)
            confusion.view(-1).index_add_(0, labels[indices] * 10 + logits.argmax(1), torch.ones_like(indices))
            if training:
                report(event="step", epoch=epoch, step=step, loss=loss.item(),
                       images_per_second=round(len(indices) / (time.perf_counter() - begin), 1))
        count, seconds = confusion.sum().item(), time.perf_counter() - start
        report(event="epoch", epoch=epoch, phase=name, loss=total / count,
               accuracy=confusion.diag().sum().item() / count, f1=macro_f1(confusion), seconds=round(seconds, 2),
               images_per_second=round(count / seconds, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER", help="MNIST's IDX files")
    parser.add_argument("--model", default="resnet101", choices=resnet.NAMES, metavar="NAME")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, help="at most so many training steps an epoch")
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--momentum", type=float, default=0.9, help="of SGD")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-shuffle", action="store_true")
    parser.add_argument("--order", metavar="FILE.json", help="the order as a list of indices, or a list of lists by epoch")
    parser.add_argument("--limit", type=int, help="only the first images of the training set")
    parser.add_argument("--test-limit", type=int, help="only the first images of the test set")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fused", action="store_true", help="PyTorch's fused Adam")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    arguments = parser.parse_args()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        splits = {"train": mnist.load(arguments.data, "train", arguments.limit),
                  "test": mnist.load(arguments.data, "test", arguments.test_limit)}
    except OSError as error:
        sys.exit(f"MNIST cannot be read: {error}")
    run = Run(arguments)
    for epoch in range(arguments.epochs):
        for name, (images, labels) in splits.items():
            run.phase(epoch, name, images, labels)
    report(event="end", peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()

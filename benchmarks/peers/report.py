"""The measurements as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from peers.subjects import REFERENCE

__all__ = ["render"]

Row = dict[str, Any]

MEASURES = {"forward": "fwd", "forward_backward": "fwd+bwd", "evaluation": "eval fwd"}
ERRORS = {
    "initial": ("training", "evaluation"),
    "bfloat16_autocast": ("training",),
    "trained": ("training", "evaluation"),
    "shocked": ("training", "training_settled", "evaluation"),
}
FORMAT_NAMES = {"contiguous": "NCHW", "channels_last": "NHWC"}


def render(result: Row, *, every_setting: bool = True) -> str:
    """All tables of a result; without every setting, only each layer's fastest is shown."""
    machine, versions = result["machine"], result["versions"]
    parts = [
        "# Orthogonal convolutions side by side",
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; commit {result['commit'][:12] or 'unknown'}; {result['created']}; "
        f"{result['seconds']} s in all.",
        f"    {result['command']}",
    ]
    for section, write in _WRITERS.items():
        if result.get(section):
            parts += write(result[section], every_setting)
    return "\n\n".join(parts) + "\n"


def _speed(rows: list[Row], every_setting: bool) -> list[str]:
    parts = [
        "## Speed",
        "Milliseconds, medians of rounds in which all layers take turns in random order; in "
        f"brackets the median ratio to {REFERENCE} in the same rounds. Forward is in training "
        "mode with gradients to input and parameters; evaluation is without gradients, for peers "
        "with `torch.nn.utils.parametrize.cached()` where that is faster (marked c). Each number "
        "is of the layer's fastest memory format and, in bfloat16, of autocast (a) or cast weights "
        "(w), whichever is faster at the smallest batch. Frozen layers have no training step; "
        "adaptive SOC, whose kernels are 7x7 and 8x8, is not run at the larger batch.",
    ]
    for shape, dtype in _distinct(rows, "shape", "dtype"):
        group = [row for row in rows if (row["shape"], row["dtype"]) == (shape, dtype)]
        batches = [batch for (batch,) in _distinct(group, "batch")]
        head = [f"{label}, {batch}" for batch in batches for label in MEASURES.values()]
        parts += [f"### {shape}, {dtype}", _table(["layer", *head], _best_lines(group, batches))]
        if every_setting:
            parts += ["Every setting:", _table(["layer", *head], _all_lines(group, batches))]
    return parts


def _best_lines(rows: list[Row], batches: list[Any]) -> list[list[str]]:
    return [
        [
            name,
            *(
                _best(_only(rows, subject=name, batch=batch).get("best", {}).get(measure))
                for batch in batches
                for measure in MEASURES
            ),
        ]
        for (name,) in _distinct(rows, "subject")
    ]


def _best(entry: Row | None) -> str:
    if entry is None:
        return "—"
    ratio = f" ({entry['ratio']:.2f}×)" if "ratio" in entry else ""
    setting = "".join(
        letter
        for word, letter in (("autocast", "a"), ("cast", "w"), ("cached", "c"))
        if word in entry["setting"].split(", ")
    )
    return f"{_number(entry['ms'])}{ratio} {FORMAT_NAMES[entry['format']]} {setting}".rstrip()


def _all_lines(rows: list[Row], batches: list[Any]) -> list[list[str]]:
    lines = []
    for (name,) in _distinct(rows, "subject"):
        of_name = [_only(rows, subject=name, batch=batch).get("variants", []) for batch in batches]
        for memory_format, setting in _distinct(list(chain(*of_name)), "format", "setting"):
            same = [_only(made, format=memory_format, setting=setting) for made in of_name]
            label = f"{name}, {FORMAT_NAMES[memory_format]}, {setting}"
            lines.append([label, *(_raw(one, key) for one in same for key in MEASURES)])
    return lines


def _raw(variant: Row, measure: str) -> str:
    if "unsupported" in variant:
        return "fails"
    if f"{measure}_ms" not in variant:
        return "—"
    text = _number(statistics.median(variant[f"{measure}_ms"]))
    cached = variant.get(f"{measure}_cached_ms")
    return f"{text}; cached {_number(statistics.median(cached))}" if cached else text


def _construction(rows: list[Row], every_setting: bool) -> list[str]:
    def cell(row: Row) -> str:
        forward, both = row["best"].get("forward"), row["best"].get("forward_backward")
        return f"{_number(forward['ms'])} / {_number(both['ms'])}" if forward else "fails"

    return [
        "## Building the kernel",
        "Milliseconds of the kernel alone / with the gradient to its parameters; medians of turns.",
        _by_shape(rows, cell),
    ]


def _memory(rows: list[Row], every_setting: bool) -> list[str]:
    def cell(row: Row) -> str:
        each = ", ".join(
            f"{FORMAT_NAMES[one['format']]} {one['mib']:.0f}" for one in row["variants"]
        )
        return f"{row['mib']:.0f}" + (f" ({each})" if every_setting else "")

    (batch,) = next(iter(_distinct(rows, "batch")))
    return [
        "## Peak memory of a training step",
        f"MiB of resident memory at batch {batch} above the layer, the images and the output's "
        "gradient, each in a process of its own; the leaner memory format, bfloat16 by autocast.",
        _by_shape(rows, cell),
    ]


def _error(rows: list[Row], every_setting: bool) -> list[str]:
    parts = [
        "## Distance from orthogonality",
        "Largest |σ − 1| over the singular values of the operator on a 32×32 torus, computed in "
        "float64 from the float32 kernel that training or evaluation mode uses: at "
        "initialisation, after Adam, and after noise N(0, 1) on every parameter (the worst seed; "
        "settled: after 20 more calls, for kernels that iterate from call to call). Under bfloat16 "
        "autocast the kernel is rounded to bfloat16, which alone costs about 2e-3.",
    ]
    head = [f"{part}, {mode}".replace("_", " ") for part, modes in ERRORS.items() for mode in modes]
    for (shape,) in _distinct(rows, "shape"):
        lines = [
            [
                row["subject"],
                *(_error_cell(row[part], mode) for part, modes in ERRORS.items() for mode in modes),
            ]
            for row in rows
            if row["shape"] == shape
        ]
        parts += [f"### {shape}", _table(["layer", *head], lines)]
    return parts


def _error_cell(errors: Row, mode: str) -> str:
    return "fails" if "failed" in errors else f"{errors[mode]:.1e}"


_WRITERS: dict[str, Callable[[list[Row], bool], list[str]]] = {
    "speed": _speed,
    "construction": _construction,
    "error": _error,
    "memory": _memory,
}


def _by_shape(rows: list[Row], cell: Callable[[Row], str]) -> str:
    """A table of layers by shapes and types."""
    columns = _distinct(rows, "shape", "dtype")
    known = {(row["subject"], row["shape"], row["dtype"]): cell(row) for row in rows}
    lines = [
        [name, *(known.get((name, *column), "") for column in columns)]
        for (name,) in _distinct(rows, "subject")
    ]
    return _table(["layer", *(f"{shape}, {dtype}" for shape, dtype in columns)], lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] + ["--:"] * (len(head) - 1), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _distinct(rows: list[Row], *keys: str) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))


def _only(rows: list[Row], **wanted: object) -> Row:
    """The one row that has these values; an empty one where there is none."""
    found = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return next(found, {})


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"

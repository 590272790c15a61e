"""Copy a trained classifier into a folder that can be given away.

    python scripts/export_weights.py RUN OUT [--head-dtype bfloat16]

Only config.json and model.safetensors are written. Paths of this machine are left out of the
training's summary. With bfloat16 the head's matrices and kernels are rounded: OUT is then another
classifier than RUN, so certify OUT itself; `scripts/model_card.py OUT --log LOG` describes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from tidied import placeless_values

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.models.located import WEIGHTS_FILE
from latentsmooth.models.weights import HeadDtype


def export(run: str | Path, output: str | Path, *, head_dtype: HeadDtype) -> str:
    """Write the folder and say in one line what is in it."""
    model = LatentSmoothedClassifier.from_pretrained(run)
    trained = model.fingerprint
    model.training_summary = placeless_values(model.training_summary)
    folder = model.save_pretrained(output, head_dtype=head_dtype)
    written = LatentSmoothedClassifier.from_pretrained(folder).fingerprint
    size = (folder / WEIGHTS_FILE).stat().st_size
    same = "the same classifier" if written == trained else "another classifier, to be certified"
    return f"{folder}: {size:,} bytes of weights, {head_dtype} head, {written} ({same})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of a trained classifier")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--head-dtype", choices=get_args(HeadDtype), default="bfloat16")
    arguments = parser.parse_args()
    print(export(arguments.run, arguments.output, head_dtype=arguments.head_dtype))


if __name__ == "__main__":
    main()

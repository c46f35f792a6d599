"""Going on with a run that was stopped or killed."""

import json
from typing import Any

from writers import KINDS, listed_outputs

from .settings import UsageError

#: Settings that leave the frames as they are. Another device computes them a rounding apart.
_FREE = {
    *("output_dir", "output_types", "overwrite", "resume", "crf"),
    *("device", "precision", "batch_size", "preflight", "strict", "preview_only"),
}


def check_resumable(earlier: dict[str, Any], facts: dict[str, Any]) -> None:
    """Refuse to go on under other settings than those that the frames there were made with.

    Args:
        earlier: What the ``run.json`` of the earlier run says; empty if there is none.
        facts: What this run will say there: ``settings`` and ``versions``.

    Raises:
        UsageError: A setting that decides what frames look like is another now.
    """
    if not any(output.kind in KINDS for output in listed_outputs(earlier)):
        return
    before = earlier.get("settings") or {}
    now = json.loads(json.dumps(facts["settings"], default=str))
    for name, value in now.items():
        if name not in _FREE and before.get(name, value) != value:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} {value}: the run to resume had {before[name]}; give that again, or "
                "--overwrite"
            )
    weights = "built-in weights"
    if now["model_checkpoint"] == "built-in" and (
        earlier["versions"].get(weights) != facts["versions"][weights]
    ):
        raise UsageError("--resume: the earlier run had other built-in weights; give --overwrite")

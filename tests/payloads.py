"""Fifteen ways in which a log, a name or a config may try to run on the page that shows it."""

import json

import numpy as np

from unplateau.curve import Curve
from unplateau.run import Fact, Run

#: each sets ``window.owned`` or opens a dialog where it runs (OWASP's list of filter evasions, by kind)
PAYLOADS = (
    "<script>window.owned=1;alert(1)</script>",
    "</script><script>window.owned=2;alert(2)</script>",
    "</style><script>window.owned=3</script>",
    "</title><script>window.owned=4</script>",
    '<img src=x onerror="window.owned=5;alert(5)">',
    '"><svg onload=window.owned=6>',
    "' autofocus onfocus='window.owned=7' tabindex=0 x='",
    "<svg><animate onbegin=window.owned=8 attributeName=x dur=1s>",
    '<a href="javascript:window.owned=9" id=cause-capacity>click</a>',
    '<iframe srcdoc="<script>parent.owned=10</script>"></iframe>',
    "<!--<script>window.owned=11</script>-->",
    "<math><mtext><table><mglyph><style><img src onerror=window.owned=12>",
    '<base href="https://example.org/"><link rel=stylesheet href="//example.org/x.css">',
    '<meta http-equiv=refresh content="0;url=https://example.org/"><form action="https://example.org"><input autofocus>',
    "\u2028<details open ontoggle=window.owned=15>{{constructor.constructor('window.owned=15')()}}${alert(15)}",
)


def hostile_folder(parent):
    """A run's folder on disk whose name, log, config, evidence and verdicts hold them; its path."""
    folder = parent / PAYLOADS[4].replace("/", "")
    (folder / "evidence").mkdir(parents=True)
    rows = [
        {"step": s, "val_loss": 3 + 8 / (1 + s / 50) ** 0.5, PAYLOADS[0]: 1.0, PAYLOADS[5]: 2.0}
        for s in range(0, 4001, 100)
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = dict(zip(NAMED, PAYLOADS, strict=False))
    config |= {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 64, "vocab_size": 50, "max_steps": 8000}
    config |= {"peak_lr": 1e-3, "batch_size": 8, PAYLOADS[6]: PAYLOADS[7]}
    (folder / "config.json").write_text(json.dumps(config))
    for i, payload in enumerate(PAYLOADS):
        told = [{"cause": cause, "fact": payload, "log_odds": 1.0} for cause in ("capacity", payload)]
        kept = {"schema": "unplateau.evidence/1", "probe": payload, "date": payload, "told": told}
        (folder / "evidence" / f"{i}{payload[:9].replace('/', '')}.json").write_text(json.dumps(kept))
    return folder


def hostile_run(secret=""):
    """A run whose every string is a payload: its name, format, facts, sources, units, series and warnings."""
    step = np.arange(0, 4001, 100)
    loss = Curve(step, 3 + 8 / (1 + step / 50.0) ** 0.5, "nats")
    facts = {f"fact {payload}": Fact(payload, payload, payload) for payload in PAYLOADS}
    facts |= {name: Fact(payload, "", payload) for name, payload in zip(NAMED, PAYLOADS, strict=False)}
    facts |= {"tokens_per_step": Fact(1000, "tokens", PAYLOADS[3]), "config_echo": Fact(secret, "", secret)}
    facts |= {"claims": Fact([[f"~125M parameters {PAYLOADS[0]}", PAYLOADS[4]]], "", PAYLOADS[1])}
    facts |= {
        "params": Fact(40_560_000, "", "counted"),
        "wandb_api_key": Fact(secret or "x", "", "config.py"),
    }
    series = {"val_loss": loss, PAYLOADS[2]: loss.scaled(1.1, PAYLOADS[3])}
    return Run("".join(PAYLOADS), PAYLOADS[1], series, facts, warnings=(*PAYLOADS, f"api_key = '{secret}'"))


#: facts that are words in every run
NAMED = (
    "dataset",
    "optimizer",
    "tokenizer",
    "gpu",
    "schedule",
    "dtype",
    "architecture",
    "killed",
    "run_name",
)

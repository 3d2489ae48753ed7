"""Fifteen ways in which a log, a name or a config may try to run on the page that shows it."""

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

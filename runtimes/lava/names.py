"""Python names for the layers and connections of a network, whatever they are called there."""

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping

RESERVED = frozenset(
    {"log", "name", "proc", "id", "model", "in_ports", "out_ports", "ref_ports", "var_ports", "vars", "procs"}
    | {"run", "stop", "pause", "wait", "save", "runtime", "compile", "create_runtime", "proc_params", "interval"}
    | {"steps", "tensors", "weights", "self", "np", "input", "s_in", "s_out", "a_in", "folder", "tracks", "tags"}
    | {"implements_process", "implements_protocol", "required_resources", "find_sub_procs", "sub_procs", "files"}
)


def identifier(text: str) -> str:
    """``text`` as a lower-case Python name: ``Layer 0/conv`` becomes ``layer_0_conv``."""
    word = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "layer"
    word = f"layer_{word}" if word[0].isdigit() else word
    taken = keyword.iskeyword(word) or hasattr(builtins, word) or word in RESERVED
    return f"{word}_" if taken else word


def identifiers(texts: Iterable[str], taken: Iterable[str] = ()) -> Mapping[str, str]:
    """A distinct Python name for each text, distinct from those ``taken`` as well."""
    used = set(taken)
    names: dict[str, str] = {}
    for text in texts:
        word, count = identifier(text), 2
        base = word
        while word in used:
            word, count = f"{base}_{count}", count + 1
        used.add(word)
        names[text] = word
    return names


def class_name(text: str) -> str:
    """``text`` as a class name: ``loihi2.lif.subtract`` becomes ``Loihi2LifSubtract``."""
    return "".join(part[:1].upper() + part[1:] for part in identifier(text).split("_"))

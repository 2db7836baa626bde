# ruff: noqa: PLC0415 - a cluster's library is imported when that cluster is asked for
"""Where shards run: processes of this machine, or a Dask or Ray cluster, all through joblib."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ranvier.compiler.diagnostics import error

Entered = AbstractContextManager[Any]
LOCAL = "local"


@dataclass(frozen=True)
class Pool:
    """``workers`` that ``joblib.Parallel`` has now; ``streams``: results come one by one, not all at the end."""

    workers: int
    streams: bool


def backend(engine: str, workers: int | None) -> AbstractContextManager[Pool]:
    """The context in which ``joblib.Parallel`` runs on ``engine``.

    ``local``: processes, by default one per processor. ``dask://host:port`` and ``ray://host:port``: the workers of
    that cluster; ``dask://`` and ``ray://`` alone start one on this machine. Raises ``RanvierError`` RV870 for other
    engines, RV871 where the library is missing, RV872 where the cluster does not answer, RV873 for no workers.
    """
    if workers is not None and workers < 1:
        raise error("RV873", "workers", f"{workers} workers do nothing", "give at least 1")
    scheme, separator, address = engine.partition("://")
    if scheme not in ENGINES or bool(separator) == (scheme == LOCAL):
        text = f"there is no engine {engine!r}"
        raise error("RV870", "engine", text, "give local, dask://host:port or ray://host:port")
    return _entered(scheme, address, workers)


@contextmanager
def _entered(scheme: str, address: str, workers: int | None) -> Iterator[Pool]:
    with ExitStack() as stack:
        try:
            yield ENGINES[scheme](stack, address, workers)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.split(".")[0] not in (scheme, "distributed"):
                raise
            text = f"{scheme} needs the package {missing.name}"
            raise error(
                "RV871", "engine", text, f"install ranvier[{scheme}], on the cluster's machines too"
            ) from missing


def _local(stack: ExitStack, _address: str, workers: int | None) -> Pool:
    from joblib import parallel_config

    count = workers or _processors()
    stack.enter_context(_context(parallel_config(backend="loky", n_jobs=count, inner_max_num_threads=1)))
    return Pool(count, streams=True)


def _dask(stack: ExitStack, address: str, workers: int | None) -> Pool:
    from dask.distributed import Client
    from joblib import parallel_config

    options: dict[str, Any] = {"address": f"tcp://{address}", "timeout": "10s"}
    if not address:
        options = {"n_workers": workers or _processors(), "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = stack.enter_context(Client(**options, set_as_default=False))
    except (OSError, TimeoutError) as problem:
        raise _unreachable(f"dask://{address}", problem) from problem
    count = workers or max(1, sum(client.nthreads().values()))
    stack.enter_context(_context(parallel_config(backend="dask", n_jobs=count, client=client)))
    return Pool(count, streams=True)


def _ray(stack: ExitStack, address: str, workers: int | None) -> Pool:
    import ray
    from joblib import parallel_config
    from ray.util.joblib import register_ray

    options: dict[str, Any] = {"address": f"ray://{address}"} if address else {"num_cpus": workers or _processors()}
    try:
        ray.init(**options, include_dashboard=None if address else False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, TimeoutError, ValueError) as problem:
        raise _unreachable(f"ray://{address}", problem) from problem
    stack.callback(ray.shutdown)
    register_ray()
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    stack.enter_context(_context(parallel_config(backend="ray", n_jobs=count)))
    return Pool(count, streams=False)


ENGINES: Mapping[str, Callable[[ExitStack, str, int | None], Pool]] = {LOCAL: _local, "dask": _dask, "ray": _ray}


def _unreachable(engine: str, problem: Exception) -> Exception:
    text = f"the cluster does not answer: {problem}"
    return error("RV872", engine, text, "check that its scheduler runs, and the address")


def _context(config: Any) -> Entered:
    """Joblib's configuration as what it is; it carries no types."""
    entered: Entered = config
    return entered


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Calls the workers' handlers in a process of its own, without a sandbox around it."""

import importlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def handle(module: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers of one worker to requests; the text of an error instead of an answer."""
    handler = importlib.import_module(module).worker()
    answers: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for request in requests:
            try:
                answers.append(handler(request))
            except Exception as problem:  # noqa: BLE001 - any error is an answer here
                answers.append(str(problem))
        os.chdir("/")
    return answers


def call(module: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """`handle` in a new process: SQLite's memory limit holds for the whole process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(handle, module, requests).result()

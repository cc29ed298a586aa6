"""Runs of batches, for `models.map`: begins the chats of a batch, and takes their ends.

Written by hand for both clients: the blocking one waits for calls that grpc makes, the other for tasks of its event
loop. A run that is left, by an error or Ctrl-C, cancels its chats; the answers until then are in the file of `resume`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import time
from collections.abc import Sequence
from typing import Any

import grpc

from genai_platform.batch_files import AnswerFile
from genai_platform.batches import Batch, ChatResults
from genai_platform.calls import CallOptions, PreparedCall
from genai_platform.channel import MODEL_SERVICE
from genai_platform.connection import AsyncGatewayConnection, GatewayConnection
from genai_platform.errors import GenAIError
from genai_platform.progress import ProgressBar
from genai_platform.v1.models_pb2 import ChatRequest, ChatResponse


class _BatchRunBase:
    """The common part of both runs: the batch, its file and its progress bar."""

    def __init__(
        self,
        requests: Sequence[ChatRequest],
        concurrency: int,
        progress: bool,
        resume: str | os.PathLike[str] | None,
        options: CallOptions,
    ) -> None:
        self._file = AnswerFile(resume, requests)
        self._batch = Batch(requests, concurrency, self._file.read())
        self._bar = ProgressBar(self._batch, shown=progress)
        self._options = options
        self._begun = time.monotonic()

    def _take(self, index: int, outcome: ChatResponse | GenAIError) -> None:
        result = self._batch.finish(index, outcome, time.monotonic())
        if result is not None and result.response is not None:
            self._file.write(index, result.response)
        self._bar.draw()

    def _summary(self) -> ChatResults:
        return self._batch.summary(time.monotonic() - self._begun)


class BatchRun(_BatchRunBase):
    """A run of the blocking client, in the thread that waits for it."""

    def __init__(self, connection: GatewayConnection, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connection = connection
        self._calls: dict[int, tuple[PreparedCall, Any]] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(self) -> ChatResults:
        with self._file:
            try:
                while not self._batch.is_done():
                    self._begin_chats()
                    self._take_one()
            finally:
                for _, future in self._calls.values():
                    future.cancel()
                self._bar.draw(last=True)
        return self._summary()

    def _begin_chats(self) -> None:
        while (index := self._batch.begin_next(time.monotonic())) is not None:
            try:
                self._calls[index] = self._connection.begin_chat(self._batch.requests[index], self._options)
            except GenAIError as error:
                self._take(index, error)
            else:
                self._calls[index][1].add_done_callback(lambda _, index=index: self._ended.put(index))

    def _take_one(self) -> None:
        try:
            index = self._ended.get(timeout=self._batch.pause(time.monotonic()))
        except queue.Empty:
            return
        call, future = self._calls.pop(index)
        try:
            outcome: ChatResponse | GenAIError = future.result()
        except grpc.RpcError as error:
            outcome = call.translate(error)
        self._take(index, outcome)


class AsyncBatchRun(_BatchRunBase):
    """A run of the asynchronous client."""

    def __init__(self, connection: AsyncGatewayConnection, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Queue[tuple[int, ChatResponse | BaseException]] = asyncio.Queue()

    async def run(self) -> ChatResults:
        with self._file:
            try:
                while not self._batch.is_done():
                    self._begin_chats()
                    await self._take_one()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                self._bar.draw(last=True)
        return self._summary()

    def _begin_chats(self) -> None:
        while (index := self._batch.begin_next(time.monotonic())) is not None:
            task = asyncio.create_task(self._ask(index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, index: int) -> None:
        request = self._batch.requests[index]
        try:
            outcome: ChatResponse | BaseException = await self._connection.unary(
                MODEL_SERVICE, "Chat", request, ChatResponse, max_retries=0, **self._options
            )
        except Exception as error:
            outcome = error
        self._ended.put_nowait((index, outcome))

    async def _take_one(self) -> None:
        try:
            index, outcome = await asyncio.wait_for(self._ended.get(), self._batch.pause(time.monotonic()))
        except TimeoutError:
            return
        if isinstance(outcome, BaseException) and not isinstance(outcome, GenAIError):
            raise outcome
        self._take(index, outcome)

"""How users of the Python client write it: mypy and pyright must infer these types."""

from typing import assert_type

from pydantic import BaseModel

from asyncendpoints_client import AsyncClient, AsyncJobHandle, Client, Job, JobHandle


class Sum(BaseModel):
    sum: float


def use(client: Client) -> None:
    handle = client.submit("/sums", {"a": 1}, priority="high")
    assert_type(handle, JobHandle)
    assert_type(handle.result(Sum, timeout=1), Sum)
    assert_type(handle.wait(), Job)
    for job in handle.events():
        assert_type(job.id, str)
    # Both report an ignore that is not needed.
    client.submit("/sums", priority="urgent")  # type: ignore[arg-type]


async def use_async(client: AsyncClient) -> None:
    handle = await client.submit("/sums", {"a": 1})
    assert_type(handle, AsyncJobHandle)
    assert_type(await handle.result(Sum), Sum)
    async for job in client.jobs(state="Failed"):
        assert_type(job, Job)

// A job's changes as they happen: server-sent events, or long polls where streams do not pass.

import { AGAIN, Broken, chunks, read } from "./connection.js";
import type { Connection, Opened } from "./connection.js";
import { isFinal, jobOf } from "./job.js";
import type { Job, Versioned } from "./job.js";
import { mediaType } from "./replies.js";

/** After so many streams in a row without anything new, long polls are used. */
const EMPTY_STREAMS = 2;
/** A gateway sends a comment every 15 s. */
const QUIET_SECONDS = 45;
/** Frequent progress is no reason for a poll each. */
const GAP_SECONDS = 0.25;
const STREAM = "text/event-stream";

type Poll = (known: Versioned | undefined) => Promise<Versioned>;

/** Yields the job at `path` now and after each change, until it has ended. */
export async function* events(
  connection: Connection,
  path: string,
  id: string,
  signal: AbortSignal | undefined,
  poll: Poll,
): AsyncGenerator<Job, void> {
  const { timing } = connection;
  const tries = connection.tries({ id }, signal);
  let last: Versioned | undefined;
  for (let empty = 0; empty < EMPTY_STREAMS; empty += 1) {
    const sent = last?.version.replaceAll('"', "");
    const headers = { Accept: STREAM, ...(sent ? { "Last-Event-ID": sent } : {}) };
    const request = { method: "GET", path, headers, patience: QUIET_SECONDS, signal };
    let opened: Opened | undefined;
    try {
      opened = await connection.open(request, tries.left);
      const { status } = opened.response;
      if (status !== 200) {
        const reply = await read(opened, signal);
        if (!AGAIN.has(status)) tries.checked(reply, 204);
        if (status === 204) break;
        await tries.failed(reply);
        empty -= 1;
        continue;
      }
      if (mediaType(opened.response.headers) !== STREAM) break;
      for await (const found of jobs(opened, signal)) {
        if (found.version === last?.version) continue; // what a new stream begins with is known
        empty = -1;
        tries.beginAnew();
        last = found;
        yield found.job;
        if (isFinal(found.job)) return;
      }
      await timing.sleep(timing.random(), signal);
    } catch (error) {
      if (!(error instanceof Broken) || empty < EMPTY_STREAMS - 1) await tries.broken(error);
    } finally {
      opened?.close();
    }
  }
  while (last === undefined || !isFinal(last.job)) {
    if (last) await timing.sleep(GAP_SECONDS, signal);
    const found = await poll(last);
    if (found === last) continue;
    last = found;
    yield found.job;
  }
}

/** Yields the jobs of a stream (HTML Living Standard §9.2.6, as far as gateways use it). */
async function* jobs(opened: Opened, signal?: AbortSignal): AsyncGenerator<Versioned> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of chunks(opened, QUIET_SECONDS, signal)) {
    text += decoder.decode(part, { stream: true });
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map<string, string>();
      for (const line of block.split(/\r?\n/)) {
        const [, name, value] = /^(\w+):? ?(.*)$/.exec(line) ?? [];
        if (name) fields.set(name, value!);
      }
      if (fields.get("event") !== "job") continue;
      const headers = new Headers({ etag: `"${fields.get("id") ?? ""}"` });
      yield jobOf({ status: 200, headers, body: new TextEncoder().encode(fields.get("data")) });
    }
  }
}

// One job: its state, the wait for its end, its result, cancel and retry.

import { AGAIN, Broken, read } from "./connection.js";
import type { Connection, Request, Tries } from "./connection.js";
import { ClientError, DeadlineExceeded, JobFinal, NotRetryable } from "./errors.js";
import { events } from "./events.js";
import { isFinal, json, jobOf } from "./job.js";
import type { Job, Versioned } from "./job.js";
import { mediaType, retryAfter } from "./replies.js";
import type { Reply } from "./replies.js";
import type { Accepted } from "./submission.js";

/** Proxies usually end requests after 30 s or more. */
export const POLL_SECONDS = 25;
/** How much longer than its timeout a wait takes at most when the gateway does not answer. */
const OUTAGE_SECONDS = 5;

/** The options of a call. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** The options of a call that waits for the job's end. */
export interface WaitOptions extends CallOptions {
  /** Seconds after which DeadlineExceeded is thrown; the job continues. */
  timeout?: number;
}

/** One job. */
export class JobHandle<Result = unknown> {
  /** The key of the submission, undefined for a handle that `client.job` made. */
  readonly idempotencyKey: string | undefined;
  /** Whether the submission returned a job that was there before. */
  readonly existing: boolean;
  private early: Reply | undefined;

  constructor(
    private readonly connection: Connection,
    readonly id: string,
    accepted?: Accepted,
  ) {
    if (!/^[A-Za-z0-9-]+$/.test(id)) throw new TypeError(`${id} is not the id of a job`);
    this.idempotencyKey = accepted?.idempotencyKey;
    this.existing = accepted?.existing ?? false;
    this.early = accepted?.result;
  }

  /** Returns the job as it is now. */
  async status(options: CallOptions = {}): Promise<Job> {
    return (await this.get(options.signal)).job;
  }

  /** Returns the job once it has ended, whether it completed, failed or was canceled. */
  async wait({ timeout, signal }: WaitOptions = {}): Promise<Job> {
    const timing = this.connection.timing;
    const end = timeout === undefined ? undefined : timing.monotonic() + timeout;
    let known: Versioned | undefined;
    let gap = 0.01;
    for (;;) {
      let left = end === undefined ? POLL_SECONDS : Math.max(0, end - timing.monotonic());
      if (known && left < 1) {
        // Shorter than a long poll can be.
        await timing.sleep(left, signal);
        left = 0;
      }
      const grace = end === undefined ? this.connection.deadline : OUTAGE_SECONDS;
      const found = await this.poll(known, left, grace, signal);
      if (isFinal(found.job)) return found.job;
      if (left === 0) {
        const text = `the job is ${found.job.state} after ${timeout} s and continues`;
        throw new DeadlineExceeded(text, { id: this.id });
      }
      if (known && found !== known) {
        // Frequent progress is no reason for a request each.
        await timing.sleep(gap, signal);
        gap = Math.min(0.5, gap * 2);
      }
      known = found;
    }
  }

  /**
   * Returns the result once the job has ended: JSON parsed, text as a string, anything else as
   * Uint8Array. Without a result it throws JobFailed or JobCanceled.
   */
  async result(options: WaitOptions = {}): Promise<Result> {
    return value(await this.whole(options)) as Result;
  }

  /** Returns the result's bytes and type as a Blob; a download that is cut begins again. */
  async blob(options: WaitOptions = {}): Promise<Blob> {
    const reply = await this.whole(options);
    const bytes = reply.body as Uint8Array<ArrayBuffer>;
    return new Blob([bytes], { type: reply.headers.get("content-type") ?? "" });
  }

  /** Returns the result as a Response, to be streamed; once its body has begun it is not resumed. */
  async response(options: WaitOptions = {}): Promise<Response> {
    await this.wait(options);
    const tries = this.tries(options.signal);
    for (;;) {
      try {
        const opened = await this.connection.open(this.resultRequest(options), tries.left);
        if (opened.response.status === 200) return opened.response;
        const reply = await read(opened, options.signal);
        if (!AGAIN.has(reply.status)) throw tries.error(reply);
        await tries.failed(reply);
      } catch (error) {
        await tries.broken(error);
      }
    }
  }

  /**
   * Cancels the job and returns it. One that is Canceled is a success: a request whose answer was
   * lost may have been sent again, by this client or by the browser, which does not say so.
   */
  async cancel({ signal }: CallOptions = {}): Promise<Job> {
    const tries = this.tries(signal);
    const request: Request = { method: "DELETE", path: this.path, signal };
    const reply = await this.connection.persist(request, tries);
    try {
      return jobOf(tries.checked(reply, 200, 202)).job;
    } catch (error) {
      if (error instanceof JobFinal && (tries.uncertain || error.members.state === "Canceled")) {
        const job = await this.status(signal ? { signal } : {});
        if (job.state === "Canceled") return job;
      }
      throw error;
    }
  }

  /**
   * Queues a failed or canceled job again and returns it. It is not sent again once the gateway may
   * have got it, because the job may have run in between: the job's state decides.
   */
  async retry({ signal }: CallOptions = {}): Promise<Job> {
    const before = await this.get(signal);
    this.early = undefined; // it belongs to the run before
    const tries = this.tries(signal);
    const request: Request = { method: "POST", path: `${this.path}/retry`, signal };
    for (;;) {
      let reply: Reply;
      try {
        reply = await this.connection.send(request, tries.left);
      } catch (error) {
        if (error instanceof Broken && error.sent) {
          return await this.retried(before, tries.connectionFailed(error), signal);
        }
        await tries.broken(error);
        continue;
      }
      if (AGAIN.has(reply.status) && reply.status !== 429) {
        return await this.retried(before, tries.error(reply), signal);
      }
      try {
        return jobOf(tries.checked(reply, 202)).job;
      } catch (error) {
        // Sent twice on the way, or another client was first.
        const ended = before.job.state === "Failed" || before.job.state === "Canceled";
        if (!(error instanceof NotRetryable && ended)) throw error;
        return await this.retried(before, error, signal);
      }
    }
  }

  /** Yields the job now and after each change of its state or progress, until it has ended. */
  events({ signal }: CallOptions = {}): AsyncGenerator<Job, void> {
    return events(this.connection, this.path, this.id, signal, (known) =>
      this.poll(known, POLL_SECONDS, this.connection.deadline, signal),
    );
  }

  private get path(): string {
    return `/jobs/${this.id}`;
  }

  private tries(signal?: AbortSignal, seconds?: number): Tries {
    return this.connection.tries({ id: this.id }, signal, seconds);
  }

  private resultRequest({ signal }: CallOptions): Request {
    return { method: "GET", path: `${this.path}/result`, patience: 30, signal };
  }

  private async get(signal?: AbortSignal): Promise<Versioned> {
    const tries = this.tries(signal);
    const request: Request = { method: "GET", path: this.path, signal };
    return jobOf(tries.checked(await this.connection.persist(request, tries), 200));
  }

  /** Returns the reply with the result. */
  private async whole(options: WaitOptions): Promise<Reply> {
    let reply = this.early;
    if (reply === undefined) {
      await this.wait(options);
      reply = await this.connection.persist(this.resultRequest(options), this.tries(options.signal));
    }
    return this.tries(options.signal).checked(reply, 200);
  }

  /** Returns the job once it differs from `known`, or `known` after `most` seconds. */
  private async poll(
    known: Versioned | undefined,
    most: number,
    grace: number,
    signal?: AbortSignal,
  ): Promise<Versioned> {
    const timing = this.connection.timing;
    const seconds = known ? Math.floor(Math.min(POLL_SECONDS, most)) : 0;
    const tries = this.tries(signal, seconds + grace);
    const begun = timing.monotonic();
    const request: Request = {
      method: "GET",
      path: seconds ? `${this.path}?wait=${seconds}` : this.path,
      headers: known ? { "If-None-Match": known.version } : {},
      patience: 15 + seconds,
      signal,
    };
    const reply = await this.connection.persist(request, tries);
    if (known === undefined || reply.status !== 304) return jobOf(tries.checked(reply, 200));
    if (seconds - (timing.monotonic() - begun) > 1) {
      // Answered early: the gateway has too many waiting requests.
      const least = Math.min(retryAfter(reply, timing.wall()) ?? 1, POLL_SECONDS);
      await timing.sleep(Math.min(least + timing.random(), most), signal);
    }
    return known;
  }

  /** Returns the job if it has changed since `before`; else throws the error. */
  private async retried(before: Versioned, error: ClientError, signal?: AbortSignal): Promise<Job> {
    const found = await this.get(signal);
    if (found.version === before.version) throw error;
    return found.job;
  }
}

function value(reply: Reply): unknown {
  const kind = mediaType(reply.headers);
  if (kind === "application/json" || kind.endsWith("+json")) return json(reply);
  if (!kind.startsWith("text/")) return reply.body;
  const charset = /charset="?([^";\s]+)/i.exec(reply.headers.get("content-type")!)?.[1];
  try {
    return new TextDecoder(charset).decode(reply.body);
  } catch {
    return new TextDecoder().decode(reply.body); // an unknown charset
  }
}

// One request at a time over fetch, and the tries of a call with the waits between them.

import { ClientError, ConnectionFailed, DeadlineExceeded } from "./errors.js";
import type { Known } from "./errors.js";
import { failure, retryAfter } from "./replies.js";
import type { Reply } from "./replies.js";

/** Statuses after which the same request may succeed. */
export const AGAIN: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);
const FIRST_SECONDS = 0.5;
const MOST_SECONDS = 10;
const IDLE_SECONDS = 30;

/** The clocks, the sleep and the random numbers of a client, in seconds; tests replace them. */
export interface Timing {
  /** A clock that is never set. */
  monotonic(): number;
  /** Since the epoch. */
  wall(): number;
  /** From 0 to 1. */
  random(): number;
  /** Waits; rejects with the signal's reason when it is aborted. */
  sleep(seconds: number, signal?: AbortSignal): Promise<void>;
}

export const SYSTEM: Timing = {
  monotonic: () => performance.now() / 1000,
  wall: () => Date.now() / 1000,
  random: () => Math.random(),
  sleep: (seconds, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const ended = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", ended);
        resolve();
      }, seconds * 1000);
      signal?.addEventListener("abort", ended, { once: true });
    }),
};

/** One HTTP request; `path` is below the base URL. `patience`: seconds until the answer begins. */
export interface Request {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Uint8Array | Blob | string | undefined;
  patience?: number;
  signal?: AbortSignal | undefined;
}

/** No whole response came. */
export class Broken extends Error {
  /** Whether the server may have got the request. */
  readonly sent: boolean;
  /** Whether sending it again cannot help. */
  readonly hopeless: boolean;

  constructor(cause: unknown) {
    super(String((cause as Error)?.message ?? cause), { cause });
    // Node names the reason in the cause; browsers never name it.
    const inner = (cause as Error)?.cause as { code?: string; message?: string } | undefined;
    const code = inner?.code ?? "";
    this.sent = !/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(code);
    this.hopeless = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|^ERR_TLS/.test(code);
    if (inner?.message) this.message += `: ${inner.message}`;
  }
}

/** A response whose body is still to be read; `close` gives it up. */
export interface Opened {
  response: Response;
  close(): void;
}

/** Where requests go. */
export class Connection {
  constructor(
    private readonly base: string,
    private readonly headers: () => Record<string, string>,
    private readonly fetch: typeof globalThis.fetch,
    readonly timing: Timing,
    readonly deadline: number,
  ) {}

  /** Returns the tries of a new call, which together take `seconds` at most. */
  tries(known: Known, signal: AbortSignal | undefined, seconds = this.deadline): Tries {
    return new Tries(this.timing, seconds, known, signal);
  }

  /** Sends a request within `seconds` and reads the reply whole. */
  async send(request: Request, seconds: number): Promise<Reply> {
    const opened = await this.open(request, seconds);
    try {
      return await read(opened, request.signal);
    } finally {
      opened.close();
    }
  }

  /** Sends a request; returns when the response's head is there. */
  async open(request: Request, seconds: number): Promise<Opened> {
    const { signal, patience = 15 } = request;
    signal?.throwIfAborted();
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const most = Math.max(0.001, Math.min(patience, seconds));
    const timer = setTimeout(
      () => controller.abort(new Error(`no response within ${most} s`)),
      most * 1000,
    );
    const close = () => {
      signal?.removeEventListener("abort", abort);
      controller.abort();
    };
    try {
      const response = await this.fetch.call(globalThis, this.base + request.path, {
        method: request.method,
        headers: { ...this.headers(), ...request.headers },
        body: (request.body ?? null) as BodyInit | null,
        redirect: "manual",
        signal: controller.signal,
      });
      return { response, close };
    } catch (error) {
      close();
      signal?.throwIfAborted();
      throw new Broken(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a request until a reply comes that sending again would not change. */
  async persist(request: Request, tries: Tries): Promise<Reply> {
    for (;;) {
      let reply: Reply;
      try {
        reply = await this.send(request, tries.left);
      } catch (error) {
        await tries.broken(error);
        continue;
      }
      if (!AGAIN.has(reply.status)) return reply;
      await tries.failed(reply);
    }
  }
}

/** Reads a response to its end. */
export async function read(opened: Opened, signal?: AbortSignal): Promise<Reply> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of chunks(opened, IDLE_SECONDS, signal)) parts.push(part);
  const body = new Uint8Array(await new Blob(parts).arrayBuffer());
  return { status: opened.response.status, headers: opened.response.headers, body };
}

/** Yields a body's bytes; Broken if none come for `idle` seconds, or if it is cut. */
export async function* chunks(
  opened: Opened,
  idle: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = opened.response.body?.getReader();
  while (reader) {
    const timer = setTimeout(opened.close, idle * 1000);
    let part: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;
    try {
      part = await reader.read();
    } catch (error) {
      signal?.throwIfAborted();
      throw new Broken(error);
    } finally {
      clearTimeout(timer);
    }
    if (part.done) return;
    yield part.value;
  }
}

/** The tries of one call. */
export class Tries {
  /** Whether an earlier try may have had an effect although no definite reply came. */
  uncertain = false;
  private failures = 0;
  private end = 0;

  constructor(
    private readonly timing: Timing,
    private readonly deadline: number,
    private readonly known: Known,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.beginAnew();
  }

  /** Gives the following tries the whole deadline: there was progress. */
  beginAnew(): void {
    this.failures = 0;
    this.end = this.timing.monotonic() + this.deadline;
  }

  /** The seconds until the deadline. */
  get left(): number {
    return Math.max(0, this.end - this.timing.monotonic());
  }

  /** Returns the reply if it has one of the statuses; else throws its error. */
  checked(reply: Reply, ...statuses: number[]): Reply {
    if (statuses.includes(reply.status)) return reply;
    throw this.error(reply);
  }

  error(reply: Reply): ClientError {
    return failure(reply, this.timing.wall(), this.known);
  }

  /** Waits before the next try after `reply`; throws its error if that passes the deadline. */
  async failed(reply: Reply): Promise<void> {
    this.uncertain ||= reply.status !== 429;
    await this.pause(retryAfter(reply, this.timing.wall()) ?? 0, this.error(reply));
  }

  /** Waits before the next try after a broken connection; throws any other error. */
  async broken(error: unknown): Promise<void> {
    if (!(error instanceof Broken)) throw error;
    this.uncertain ||= error.sent;
    if (error.hopeless) throw this.connectionFailed(error);
    const text = `no response within ${this.deadline} s: ${error.message}`;
    await this.pause(0, new DeadlineExceeded(text, { ...this.known, cause: error.cause }));
  }

  connectionFailed(error: Broken): ConnectionFailed {
    return new ConnectionFailed(error.message, { ...this.known, cause: error.cause });
  }

  private async pause(least: number, error: ClientError): Promise<void> {
    const most = Math.min(MOST_SECONDS, FIRST_SECONDS * 2 ** Math.min(this.failures, 10));
    this.failures += 1;
    const seconds = least + this.timing.random() * most;
    if (seconds >= this.left) throw error;
    await this.timing.sleep(seconds, this.signal);
  }
}

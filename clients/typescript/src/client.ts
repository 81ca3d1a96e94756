// The client of one gateway.

import { Connection, SYSTEM } from "./connection.js";
import type { Timing } from "./connection.js";
import { JobHandle } from "./handle.js";
import type { CallOptions } from "./handle.js";
import { json } from "./job.js";
import type { Job } from "./job.js";
import { unexpected } from "./replies.js";
import { query, request, submit, target } from "./submission.js";
import type { SubmitOptions } from "./submission.js";
import type { BodyOf, MethodOf, Operation, ParamsOf, ResultOf, RoutePath } from "./types.js";

/** The options of a client. */
export interface ClientOptions {
  /** Sent as a bearer token with every request. */
  token?: string;
  /** Sent with every request; a function is called for each, for example for a trace context. */
  headers?: Record<string, string> | (() => Record<string, string>);
  /** How many seconds (60) a call goes on when the gateway is busy or away. */
  deadline?: number;
  /** Replaces the network in tests. */
  fetch?: typeof globalThis.fetch;
  /** Replaces the clock in tests. */
  timing?: Timing;
}

/** A submission to one path. */
export type Submission<Paths, Path, Method extends string> = SubmitOptions & {
  body?: BodyOf<Operation<Paths, Path, Method>>;
  method?: Method;
  params?: ParamsOf<Operation<Paths, Path, Method>>;
};

/** A client of one gateway. `Paths` are those that openapi-typescript generates. */
export class Client<Paths = any> {
  private readonly connection: Connection;

  /** `baseUrl` includes `gateway.basePath`; "" is the page's own origin. */
  constructor(baseUrl: string, options: ClientOptions = {}) {
    if (baseUrl && !baseUrl.startsWith("/") && !/^https?:\/\/[^/?#]+[^?#]*$/.test(baseUrl)) {
      throw new TypeError(`baseUrl ${baseUrl} must begin with http:// or https:// and a host`);
    }
    const { token, headers = {}, deadline = 60, timing = SYSTEM } = options;
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
      throw new TypeError("token is empty or has characters that no token has: trim it");
    }
    const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    const all = () => ({ ...(typeof headers === "function" ? headers() : headers), ...authorization });
    const fetch = options.fetch ?? globalThis.fetch;
    this.connection = new Connection(baseUrl.replace(/\/+$/, ""), all, fetch, timing, deadline);
  }

  /**
   * Submits a job to a route and returns its handle once it is accepted. The body is sent as it is
   * if it is text, bytes, a Blob or a stream, and else as JSON. It is serialized once, and each try
   * carries the same idempotency key, so that one job comes of it.
   */
  async submit<
    Path extends RoutePath<Paths>,
    Method extends MethodOf<Paths, Path> & string = MethodOf<Paths, Path> & string,
  >(
    path: Path,
    submission: Submission<Paths, Path, Method> = {},
  ): Promise<JobHandle<ResultOf<Operation<Paths, Path, Method>>>> {
    const { body, method = "POST", params, ...options } = submission;
    const url = target(path, (params ?? {}) as Parameters<typeof target>[1]);
    const sent = await request(method, url, body, options as SubmitOptions);
    const accepted = await submit(this.connection, sent, submission.wait ?? 0);
    return new JobHandle(this.connection, accepted.id, accepted);
  }

  /** Returns the handle of a job whose id is known; nothing is sent. */
  job<Result = any>(id: string): JobHandle<Result> {
    return new JobHandle<Result>(this.connection, id);
  }

  /** Yields the jobs that match the filters of GET /jobs, page by page. */
  async *jobs(
    filters: Record<string, string | number | readonly string[] | undefined> = {},
    { signal }: CallOptions = {},
  ): AsyncGenerator<Job, void> {
    let cursor: string | undefined;
    do {
      const tries = this.connection.tries({}, signal);
      const path = `/jobs${query({ ...filters, cursor })}`;
      const reply = await this.connection.persist({ method: "GET", path, signal }, tries);
      const page = json(tries.checked(reply, 200)) as { items?: Job[]; nextCursor?: string | null };
      if (!Array.isArray(page?.items)) throw unexpected(reply);
      yield* page.items;
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
  }
}

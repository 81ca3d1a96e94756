// Submitting a job: its options, the request, and what the reply says.

import type { Connection, Request } from "./connection.js";
import { jobOf } from "./job.js";
import { locationId } from "./replies.js";
import type { Reply } from "./replies.js";

/** The options of a submission besides its body, its method and its parameters. */
export interface SubmitOptions {
  /** Replaces the content type that the body has. */
  contentType?: string;
  headers?: Record<string, string>;
  /** A new one for each call, unless given. */
  idempotencyKey?: string;
  /** Seconds before which the job does not start. */
  delay?: number;
  priority?: "high" | "normal" | "low";
  /** Seconds within which the job must have started. */
  expires?: number;
  tags?: readonly string[];
  /** The URL of a receiver of webhooks. */
  webhook?: string;
  /** Seconds (60 at most) that the gateway holds the response for the result. */
  wait?: number;
  signal?: AbortSignal;
}

/** What a submission returned; `result` is the reply of /result if it came with it. */
export interface Accepted {
  id: string;
  idempotencyKey: string;
  existing: boolean;
  result: Reply | undefined;
}

type Encoded = { data?: Uint8Array | Blob | string; type?: string };
type Params = { path?: Record<string, unknown>; query?: Record<string, unknown> };

/** Returns the path with its parameters filled in and the query added. */
export function target(path: string, params: Params = {}): string {
  if (/[?#]/.test(path)) {
    throw new TypeError(`path ${path} has a query or a fragment: use params.query`);
  }
  const filled = path.replace(/\{([^/{}]+)\}/g, (_, name: string) => {
    const value = params.path?.[name];
    if (value === undefined) throw new TypeError(`params.path has no ${name}`);
    return encodeURIComponent(String(value));
  });
  return `/${filled.replace(/^\//, "")}${query(params.query)}`;
}

/** Returns a query with its question mark; lists are repeated, undefined is left out. */
export function query(values: Record<string, unknown> = {}): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) found.append(name, String(one));
    }
  }
  const text = String(found);
  return text ? `?${text}` : "";
}

/** Returns the request of a submission; TypeError names what is wrong. */
export async function request(
  method: string,
  path: string,
  body: unknown,
  options: SubmitOptions,
): Promise<Request> {
  const { data, type } = await encode(body);
  const headers: Record<string, string> = {
    ...options.headers,
    "Idempotency-Key": options.idempotencyKey ?? newKey(),
  };
  const kind = options.contentType ?? type;
  if (kind) headers["Content-Type"] = kind;
  if (options.delay) headers["Job-Delay"] = seconds("delay", options.delay);
  if (options.expires !== undefined) headers["Job-Expires"] = seconds("expires", options.expires);
  if (options.priority) headers["Job-Priority"] = options.priority;
  if (typeof options.tags === "string") throw new TypeError("tags is a list of texts");
  if (options.tags?.length) headers["Job-Tags"] = options.tags.join(",");
  if (options.webhook) headers["Job-Webhook"] = options.webhook;
  if (options.wait) headers["Prefer"] = `wait=${Math.max(1, Math.round(options.wait))}`;
  const patience = 15 + (options.wait ?? 0);
  return { method, path, headers, body: data, patience, signal: options.signal };
}

function seconds(name: string, value: number): string {
  if (!(value >= 0 && value < 1e9)) {
    throw new TypeError(`${name}: ${value} is not a number of seconds from 0 to 999999999`);
  }
  return String(Math.ceil(value * 1000) / 1000);
}

/** Also where crypto.randomUUID is missing: on pages without https. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns a body as it is sent, in each try the same. */
async function encode(body: unknown): Promise<Encoded> {
  const octets = "application/octet-stream";
  if (body === undefined || body === null) return {};
  if (typeof body === "string") return { data: body, type: "text/plain; charset=utf-8" };
  if (body instanceof Blob) return { data: body, type: body.type || octets };
  if (body instanceof ArrayBuffer) return { data: new Uint8Array(body), type: octets };
  if (ArrayBuffer.isView(body)) {
    return { data: new Uint8Array(body.buffer, body.byteOffset, body.byteLength), type: octets };
  }
  if (body instanceof URLSearchParams) {
    return { data: String(body), type: "application/x-www-form-urlencoded" };
  }
  if (typeof FormData !== "undefined" && body instanceof FormData) {
    throw new TypeError("a FormData has other bytes in each try: send a Blob of its own bytes");
  }
  if (body instanceof ReadableStream) {
    return { data: new Uint8Array(await new Response(body).arrayBuffer()), type: octets };
  }
  const text = JSON.stringify(body) as string | undefined;
  if (text === undefined) throw new TypeError(`a body of type ${typeof body} is not JSON`);
  return { data: text, type: "application/json" };
}

/** Submits until it is accepted or refused for good: each try has the same key and bytes. */
export async function submit(
  connection: Connection,
  sent: Request,
  wait: number,
): Promise<Accepted> {
  const idempotencyKey = sent.headers!["Idempotency-Key"]!;
  const tries = connection.tries({ idempotencyKey }, sent.signal, connection.deadline + wait);
  const reply = await connection.persist(sent, tries);
  const existing = reply.headers.get("job-existing") === "true";
  if (reply.status === 202) {
    const { job } = jobOf(reply, idempotencyKey);
    return { id: job.id, idempotencyKey, existing, result: undefined };
  }
  // What `wait` brought: the job has ended, with a result or without one.
  const id = locationId(reply);
  if (id && reply.headers.has("preference-applied") && [200, 409].includes(reply.status)) {
    return { id, idempotencyKey, existing, result: reply };
  }
  throw tries.error(reply);
}

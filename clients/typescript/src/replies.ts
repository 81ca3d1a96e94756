// Replies: what they say of a refusal, of the time to wait and of the media type.

import { PROBLEMS, Problem, UnexpectedResponse } from "./errors.js";
import type { ClientError, Known, Members } from "./errors.js";

const URN = "urn:asyncendpoints:problem:";

/** A response, read whole unless its bytes are streamed. */
export interface Reply {
  status: number;
  headers: Headers;
  body: Uint8Array;
}

/** Returns the media type in lower case, without parameters. */
export function mediaType(headers: Headers): string {
  return (headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

/**
 * Returns the seconds of Retry-After, undefined without a valid one (RFC 9110 §10.2.3). A date is
 * compared with the reply's own Date, or else with `now` in seconds since the epoch.
 */
export function retryAfter(reply: Reply, now: number): number | undefined {
  const text = (reply.headers.get("retry-after") ?? "").trim();
  if (/^\d+$/.test(text)) return Number(text);
  const then = Date.parse(text);
  if (Number.isNaN(then)) return undefined;
  const here = Date.parse(reply.headers.get("date") ?? "");
  return Math.max(0, (then - (Number.isNaN(here) ? now * 1000 : here)) / 1000);
}

/** Returns the id of the job in the Location. */
export function locationId(reply: Reply): string | undefined {
  return (reply.headers.get("location") ?? "").split("/").pop() || undefined;
}

/** Returns what to throw for a reply that is not a success. */
export function failure(reply: Reply, now: number, known: Known): ClientError {
  const members = problemOf(reply);
  if (members === undefined) return unexpected(reply, known);
  const name = members.type.slice(URN.length);
  const id = (name === "duplicate-job" && locationId(reply)) || known.id;
  const kind = PROBLEMS[name] ?? Problem;
  return new kind(name, reply.status, members, retryAfter(reply, now), { ...known, id });
}

function problemOf(reply: Reply): Members | undefined {
  if (mediaType(reply.headers) !== "application/problem+json") return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(reply.body));
    const type = (value as Members | null)?.type;
    return typeof type === "string" && type.startsWith(URN) ? (value as Members) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the error for a response that a gateway does not send. */
export function unexpected(reply: Reply, known: Known = {}): UnexpectedResponse {
  const shown = JSON.stringify(new TextDecoder().decode(reply.body.slice(0, 200)));
  return new UnexpectedResponse(
    `not the response of a gateway; check the URL and proxies: ${reply.status}: ${shown}`,
    reply.status,
    known,
  );
}

// What the client throws: ClientError, and below it ConnectionFailed, DeadlineExceeded,
// UnexpectedResponse and Problem, with a class for each problem type of the gateway (RFC 9457).

import type { JobError } from "./job.js";

/** What is known when a request fails. */
export interface Known {
  /** The job's id. */
  id?: string | undefined;
  /** The key of a submission: submit again with it, and the request becomes one job at most. */
  idempotencyKey?: string | undefined;
  cause?: unknown;
}

/** The base of every error of this client. */
export class ClientError extends Error {
  readonly id: string | undefined;
  readonly idempotencyKey: string | undefined;

  constructor(message: string, known: Known = {}) {
    super(message, known.cause === undefined ? undefined : { cause: known.cause });
    this.name = new.target.name;
    this.id = known.id;
    this.idempotencyKey = known.idempotencyKey;
  }
}

/** No response came, and sending again is of no use or could do harm. */
export class ConnectionFailed extends ClientError {}

/** The deadline or the timeout has passed; the job, if there is one, continues. */
export class DeadlineExceeded extends ClientError {}

/** A response that no gateway sends: check the URL, and proxies before the gateway. */
export class UnexpectedResponse extends ClientError {
  constructor(message: string, readonly status: number, known: Known = {}) {
    super(message, known);
  }
}

/** The members of a problem document. */
export interface Members {
  type: string;
  detail?: string;
  error?: JobError;
  errors?: { pointer: string; detail: string }[];
  [member: string]: unknown;
}

/** The gateway refused the request. `problem` is the last part of its type. */
export class Problem extends ClientError {
  constructor(
    readonly problem: string,
    readonly status: number,
    readonly members: Members,
    /** Seconds, undefined without the header. */
    readonly retryAfter: number | undefined,
    known: Known = {},
  ) {
    super(`${status} ${problem}: ${members.detail ?? ""}`, known);
  }

  get detail(): string {
    return this.members.detail ?? "";
  }
}

class HasJobError extends Problem {
  /** The job's error: code, message, retryable. */
  get error(): JobError {
    return this.members.error ?? { code: this.problem, message: this.detail, retryable: false };
  }
}

/** The body cannot be read. */
export class MalformedBody extends Problem {}
/** A header is not valid. */
export class InvalidHeader extends Problem {}
/** The path or the query is not valid. */
export class InvalidQuery extends Problem {}
/** The token is missing or not valid. */
export class Unauthorized extends Problem {}
/** This is not allowed, for example listing jobs. */
export class Forbidden extends Problem {}
/** No route has this path. */
export class NotFound extends Problem {}
/** The path has other methods. */
export class MethodNotAllowed extends Problem {}
/** The job failed and has no result; see `error`. */
export class JobFailed extends HasJobError {}
/** The job was canceled and has no result. */
export class JobCanceled extends HasJobError {}
/** The job has ended, so it cannot be canceled. */
export class JobFinal extends Problem {}
/** The job is neither Failed nor Canceled. */
export class NotRetryable extends Problem {}
/** An equal job exists; `id` is its id. */
export class DuplicateJob extends Problem {}
/** The job has been removed, or there never was one with this id. */
export class JobGone extends Problem {}
/** The body exceeds the gateway's limit. */
export class BodyTooLarge extends Problem {}
/** The path and the query are too long. */
export class UriTooLong extends Problem {}
/** The route takes another media type, usually JSON. */
export class UnsupportedMediaType extends Problem {}
/** The body does not match the route's schema. */
export class InvalidBody extends Problem {
  /** The positions in the body. */
  get errors(): { pointer: string; detail: string }[] {
    return this.members.errors ?? [];
  }
}
/** The value that is the job's key is not valid. */
export class InvalidKey extends Problem {}
/** The idempotency key belongs to another request. */
export class IdempotencyMismatch extends Problem {}
/** The queue's limit is reached; see `retryAfter`. */
export class QueueFull extends Problem {}
/** The queue's limit for the job's key is reached. */
export class KeyQueueFull extends QueueFull {}
/** The request's headers are too large. */
export class HeadersTooLarge extends Problem {}
/** An internal error of the gateway. */
export class InternalError extends Problem {}
/** The gateway does not know the method or the transfer coding. */
export class NotImplementedByServer extends Problem {}
/** The gateway cannot reach its store. */
export class StoreUnavailable extends Problem {}
/** The HTTP version is not supported. */
export class VersionNotSupported extends Problem {}

/** The class of each problem type of the gateway; an unknown one is `Problem` itself. */
export const PROBLEMS: Readonly<Record<string, typeof Problem>> = {
  "malformed-body": MalformedBody,
  "invalid-header": InvalidHeader,
  "invalid-query": InvalidQuery,
  unauthorized: Unauthorized,
  forbidden: Forbidden,
  "not-found": NotFound,
  "job-not-found": JobGone,
  "method-not-allowed": MethodNotAllowed,
  "job-failed": JobFailed,
  "job-canceled": JobCanceled,
  "job-final": JobFinal,
  "not-retryable": NotRetryable,
  "duplicate-job": DuplicateJob,
  "job-gone": JobGone,
  "body-too-large": BodyTooLarge,
  "uri-too-long": UriTooLong,
  "unsupported-media-type": UnsupportedMediaType,
  "invalid-body": InvalidBody,
  "invalid-key": InvalidKey,
  "idempotency-mismatch": IdempotencyMismatch,
  "queue-full": QueueFull,
  "key-queue-full": KeyQueueFull,
  "headers-too-large": HeadersTooLarge,
  internal: InternalError,
  "not-implemented": NotImplementedByServer,
  "store-unavailable": StoreUnavailable,
  "version-not-supported": VersionNotSupported,
};

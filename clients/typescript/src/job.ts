// The job as the gateway shows it, and what a reply says of one.

import { unexpected } from "./replies.js";
import type { Reply } from "./replies.js";

export type State = "Scheduled" | "Queued" | "InProgress" | "Completed" | "Failed" | "Canceled";

/** Why an attempt or a job failed. */
export interface JobError {
  code: string;
  message: string;
  retryable: boolean;
}

/** One finished attempt. */
export interface Attempt {
  number: number;
  startedAt: string | null;
  endedAt: string | null;
  outcome: string;
  error: JobError | null;
}

/** A job at one moment. Times are RFC 3339 in UTC; a newer gateway may send further members. */
export interface Job {
  id: string;
  name: string;
  state: State;
  attempt: number;
  maxAttempts: number;
  crashes: number;
  priority: "high" | "normal" | "low";
  /** `fraction` is from 0 to 1. */
  progress: { fraction: number; message: string } | null;
  error: JobError | null;
  attempts: Attempt[];
  createdAt: string | null;
  notBefore: string | null;
  startedAt: string | null;
  completedAt: string | null;
  updatedAt: string | null;
  expiresAt: string | null;
  cancelRequestedAt: string | null;
  tags?: string[];
  key?: string | null;
  parent?: string | null;
  schedule?: string | null;
}

/** A job and its version, the ETag, which changes with it. */
export interface Versioned {
  job: Job;
  version: string;
}

/** Whether a job has ended. */
export function isFinal(job: Job): boolean {
  return job.state === "Completed" || job.state === "Failed" || job.state === "Canceled";
}

/** Returns the job in a reply's body; UnexpectedResponse if there is none. */
export function jobOf(reply: Reply, idempotencyKey?: string): Versioned {
  const value = json(reply);
  if (typeof value !== "object" || value === null || !("id" in value) || !("state" in value)) {
    throw unexpected(reply, { idempotencyKey });
  }
  return { job: value as Job, version: reply.headers.get("etag") ?? "" };
}

/** Returns the body as JSON, undefined if it is none. */
export function json(reply: Reply): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(reply.body));
  } catch {
    return undefined;
  }
}

// The client of asyncendpoints: submit jobs over HTTP, follow them, fetch their results.

export { Client } from "./client.js";
export type { ClientOptions, Submission } from "./client.js";
export type { Timing } from "./connection.js";
export * from "./errors.js";
export { JobHandle } from "./handle.js";
export type { CallOptions, WaitOptions } from "./handle.js";
export { isFinal } from "./job.js";
export type { Attempt, Job, JobError, State } from "./job.js";
export type { SubmitOptions } from "./submission.js";

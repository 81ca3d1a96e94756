// Drains jobs with BullMQ; prints jobs a second and its CPU time in seconds.
// `node bullmq_drain.mjs FOLDER PORT COUNT [BODY [fill]]`, bullmq being installed in FOLDER. Jobs do
// nothing; with a JSON body, they get it and return a small result; with `fill` they are only queued.
import { createRequire } from "node:module";

const [folder, ...words] = process.argv.slice(2);
const [port, count] = words.slice(0, 2).map(Number);
const body = words[2];
const { Queue, Worker } = createRequire(`${folder}/`)("bullmq");
// By default what drained fastest of 1, 10, 50, 200 and 500; its own default is 1.
const CONCURRENCY = Number(process.env.BULLMQ_CONCURRENCY ?? 100);

const data = body ? JSON.parse(body) : { n: 1 };
const run = body ? async (job) => ({ customer: job.data.customer, pages: 12 }) : async () => null;
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
for (let first = 0; first < count; first += 1000) {
  const size = Math.min(1000, count - first);
  await queue.addBulk(Array.from({ length: size }, () => ({ name: "job", data })));
}
if (words[3] === "fill") {
  await queue.close();
  process.exit();
}
let left = count;
const started = performance.now();
const before = process.cpuUsage();
const worker = new Worker("bench", run, { connection, concurrency: CONCURRENCY });
await new Promise((resolve) => {
  worker.on("completed", () => --left || resolve());
});
const seconds = (performance.now() - started) / 1000;
const used = process.cpuUsage(before);
console.log(count / seconds, (used.user + used.system) / 1e6);
await worker.close();
await queue.obliterate({ force: true });
await queue.close();

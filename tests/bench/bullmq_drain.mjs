// Drains no-op jobs with BullMQ; prints jobs a second and its CPU time in seconds.
// `node bullmq_drain.mjs FOLDER PORT COUNT`, bullmq being installed in FOLDER.
import { createRequire } from "node:module";

const [folder, port, count] = process.argv.slice(2).map((word, at) => (at ? Number(word) : word));
const { Queue, Worker } = createRequire(`${folder}/`)("bullmq");
// What drained fastest of 1, 10, 50, 200 and 500.
const CONCURRENCY = 100;

const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
for (let first = 0; first < count; first += 1000) {
  const size = Math.min(1000, count - first);
  await queue.addBulk(Array.from({ length: size }, () => ({ name: "noop", data: { n: 1 } })));
}
let left = count;
const started = performance.now();
const before = process.cpuUsage();
const worker = new Worker("bench", async () => null, { connection, concurrency: CONCURRENCY });
await new Promise((resolve) => {
  worker.on("completed", () => --left || resolve());
});
const seconds = (performance.now() - started) / 1000;
const used = process.cpuUsage(before);
console.log(count / seconds, (used.user + used.system) / 1e6);
await worker.close();
await queue.obliterate({ force: true });
await queue.close();

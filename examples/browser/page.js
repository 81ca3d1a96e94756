// Submits a file to endpoint.yaml and shows the job until it has ended. The job's id is in the
// page's address, so that a reload goes on showing the same job.
import { Client, ClientError } from "asyncendpoints-client";

const gateway = new URLSearchParams(location.search).get("gateway") ?? "http://127.0.0.1:8080";
const client = new Client(gateway);
const find = (id) => document.getElementById(id);

async function show(job) {
  history.replaceState(null, "", `#${job.id}`);
  find("cancel").disabled = false;
  find("cancel").onclick = () => job.cancel();
  try {
    for await (const { state, progress } of job.events()) {
      find("progress").value = progress?.fraction ?? 0;
      find("state").value = progress?.message ? `${state}: ${progress.message}` : state;
    }
    const result = await job.result();
    find("result").textContent = JSON.stringify(result, null, 2);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    find("state").value = error.message;
  }
  find("cancel").disabled = true;
}

find("form").onsubmit = async (event) => {
  event.preventDefault();
  find("result").textContent = "";
  const file = find("file").files[0];
  try {
    await show(await client.submit("/files/{name}", { params: { path: { name: file.name } }, body: file }));
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    find("state").value = error.message;
  }
};

if (location.hash) show(client.job(location.hash.slice(1)));

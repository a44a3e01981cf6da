"use strict";

const start = document.querySelector("#start");
const bar = document.querySelector("#bar");
const status = document.querySelector("#status");
let source = null;

function follow(number, url) {
  source?.close();
  document.querySelector("#job").hidden = false;
  document.querySelector("#number").textContent = number;
  bar.value = 0;
  status.textContent = "Waiting...";
  source = new EventSource(url);
  source.addEventListener("progress", event => {
    const { step, steps } = JSON.parse(event.data);
    bar.max = steps;
    bar.value = step;
    status.textContent = `${step} of ${steps} (${Math.round((100 * step) / steps)} %)`;
  });
  source.addEventListener("done", event => {
    finish(`Done: ${JSON.parse(event.data).result}.`);
    bar.value = bar.max;
  });
  source.addEventListener("stopped", () => finish("Stopped, because the server ends."));
  source.onerror = () => {
    // The browser connects again by itself, unless it was told not to.
    if (source.readyState === EventSource.CLOSED) finish("There is no such job any more.");
    else status.textContent = "The connection is gone. Trying again...";
  };
}

function finish(text) {
  source.close();
  sessionStorage.removeItem("job");
  status.textContent = text;
}

start.addEventListener("submit", async event => {
  event.preventDefault();
  const response = await fetch(document.body.dataset.jobs, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ steps: Number(start.elements.steps.value) }),
  });
  const job = await response.json();
  sessionStorage.setItem("job", JSON.stringify(job));
  follow(job.number, job.events);
});

// A page that goes away closes its stream, which would look like a job that is gone.
addEventListener("beforeunload", () => source?.close());

const running = JSON.parse(sessionStorage.getItem("job"));
if (running) follow(running.number, running.events);

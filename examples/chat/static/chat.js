"use strict";

const join = document.querySelector("#join");
const say = document.querySelector("#say");
const room = document.querySelector("#room");
const status = document.querySelector("#status");
const members = document.querySelector("#members");
const messages = document.querySelector("#messages");
let socket = null;
let wait = 500; // milliseconds before the next try

function address(name, where) {
  const url = new URL(document.body.dataset.rooms + encodeURIComponent(where), location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("name", name);
  return url;
}

function connect(name, where) {
  let opened = false;
  socket = new WebSocket(address(name, where));
  socket.onopen = () => {
    opened = true;
    wait = 500;
    messages.replaceChildren();
    status.textContent = `You are ${name} in ${where}.`;
    join.hidden = true;
    room.hidden = false;
    say.elements.text.focus();
  };
  socket.onmessage = event => show(JSON.parse(event.data), name);
  socket.onclose = event => {
    room.hidden = true;
    if (!opened && join.hidden === false) {
      status.textContent = "That did not work. Is the name taken?";
      return;
    }
    status.textContent = event.reason || "The connection is gone. Trying again...";
    setTimeout(() => connect(name, where), wait);
    wait = Math.min(wait * 2, 30000);
  };
}

function show(message, me) {
  if (message.type === "members") {
    members.textContent = `Here: ${message.names.join(", ")}`;
    return;
  }
  const item = document.createElement("li");
  item.classList.toggle("mine", message.name === me);
  for (const [tag, text] of [["b", message.name], ["time", message.time.slice(11, 16)], ["p", message.text]]) {
    const part = document.createElement(tag);
    part.textContent = text; // Never as HTML.
    item.append(part);
  }
  messages.append(item);
  item.scrollIntoView({ block: "nearest" });
}

join.addEventListener("submit", event => {
  event.preventDefault();
  status.textContent = "Connecting...";
  connect(join.elements.name.value.trim(), join.elements.room.value.trim());
});

say.addEventListener("submit", event => {
  event.preventDefault();
  socket.send(JSON.stringify({ text: say.elements.text.value }));
  say.reset();
});

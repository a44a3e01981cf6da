// What the official JavaScript client sees, as JSON lines: node client.mjs URL TRANSPORT
import { io } from "socket.io-client";

const [url, transport, other = url] = process.argv.slice(2);
const options = {
  transports: transport === "upgrade" ? ["polling", "websocket"] : [transport],
  forceNew: true,
  reconnection: false,
};
const print = (what, value) => console.log(JSON.stringify([what, value]));
const open = (base, namespace = "/", more = {}) => io(new URL(namespace, base).href, { ...options, ...more });
const next = (socket, name) => new Promise((done) => socket.once(name, (...args) => done(args.length > 1 ? args : args[0])));
const asked = (socket, ...args) => socket.timeout(5000).emitWithAck(...args);
const all = (socket, ...args) => new Promise((done) => socket.emit(...args, (...answers) => done(answers)));
const within = (promise, text) => Promise.race([promise, new Promise((done) => setTimeout(() => done(text), 400))]);
setTimeout(() => { print("gave up", null); process.exit(1); }, 30000).unref();

const cookies = (await fetch(new URL("/login/Emma", url))).headers.get("set-cookie").split(";")[0];
const one = open(url, "/", { extraHeaders: { cookie: cookies } });
const welcome = next(one, "welcome");
await next(one, "connect");
print("welcome", await welcome);
if (transport === "upgrade" && one.io.engine.transport.name !== "websocket") await new Promise((done) => one.io.engine.once("upgrade", done));
print("transport", one.io.engine.transport.name);
print("plain ack", await asked(one, "plain", 1, 2));
let came = next(one, "echo");
print("async ack", await all(one, "asynchronous", { text: "Grüße", list: [1, null] }));
print("echo", await came);
came = next(one, "echo");
print("binary ack", await all(one, "asynchronous", Buffer.from([1, 2, 255])));
print("binary", [...(await came)]);

const two = open(other);
await next(two, "connect");
print("message", await Promise.all([next(two, "message"), next(one, "message"), one.send("hello")]).then((all) => all.slice(0, 2)));
print("rooms", (await asked(one, "join", "kitchen")).length);
came = next(one, "joined");
print("rooms", (await asked(two, "join", "kitchen")).length);
print("joined", (await came) === two.id);
came = Promise.all([next(one, "said"), next(two, "said")]);
two.emit("say", "kitchen", "soup");
print("said", await came);
print("left", (await asked(two, "leave", "kitchen")).length);
came = within(next(two, "said"), "nothing");
one.emit("say", "kitchen", "tea");
print("said to who left", await came);

one.on("question", (number, answer) => answer(number + 1));
came = next(one, "acknowledged");
print("ask", await asked(one, "ask me"));
print("acknowledged", (await came)[0]);
print("call", await asked(one, "call me"));

for (const path of ["/tell/plainly", "/tell-async/later"]) {
  came = Promise.all([next(one, "told"), next(two, "told")]);
  await fetch(new URL(path, url));
  print("told", await came);
}
const seen = [];
came = new Promise((done) => one.on("progress", (value) => { seen.push(value); if (seen.length === 4) done(); }));
one.emit("work");
await came;
print("progress", seen.sort());

const room = open(url, "/room");
came = next(room, "doubled");
print("namespace", [await asked(room, "double", 21), await came]);
const chat = open(url, "/chat");
came = next(chat, "failed");
print("error handler", [await asked(chat, "fail", "here"), await came]);
const unanswered = (...args) => one.timeout(2000).emitWithAck(...args).catch((error) => error.message);
const [failure, wrong, nothing] = await Promise.all([unanswered("fail", "there"), unanswered("plain", 1), unanswered("nothing")]);
print("failure", failure);
print("wrong arguments", wrong);
print("no such event", nothing);
const refused = open(url, "/", { auth: { token: "wrong" } });
const error = await next(refused, "connect_error");
print("refused", [error.message, error.data]);
const nowhere = open(url, "/nowhere");
print("no such namespace", (await next(nowhere, "connect_error")).message);
came = next(two, "left");
one.disconnect();
print("left", await came);
came = next(two, "disconnect");
two.emit("send me away");
print("sent away", (await came)[0] ?? (await came));
for (const socket of [room, chat, refused, nowhere]) socket.disconnect();
print("end", null);
process.exit(0);

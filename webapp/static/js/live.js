// The live feed: every event of this person's rooms, in order, none missing, none twice.
//
// Each room counts its events from 1 without gaps. The page says up to which number it was made (data-feed),
// what came since is asked for with `resume`, on every connect and as a heartbeat. An event is dispatched on
// <body> as `live:<name>` and as `live`; fragments of the page refresh themselves on those.
import { io } from "../vendor/socket.io.esm.min.js";
import { announce } from "./announce.js";

const HEARTBEAT_MS = 20000;
const ANSWER_MS = 10000;
const OFFLINE_AFTER_MS = 12000;
const RETRY_REFUSED_MS = 30000;
const RETRY_MS = 2000;

const { body } = document;
const storeKey = `ledgerwire:feed:${body.dataset.user}`;
const made = JSON.parse(body.dataset.feed || "{}");
const extraRooms = (body.dataset.rooms || "").split(" ").filter(Boolean);

const STATES = {
  connected: ["Live", "Connected: changes appear by themselves"],
  reconnecting: ["Reconnecting", "The connection was lost. Trying again; nothing will be missed"],
  offline: ["Offline", "No connection. What is shown may be out of date until it is back"],
};

/* Last number seen of each room. It outlives the page, so that what came between two pages is still told. */
function restore() {
  let kept = {};
  try {
    kept = JSON.parse(sessionStorage.getItem(storeKey) || "{}");
  } catch {
    kept = {};
  }
  const result = {};
  for (const [room, seq] of Object.entries(made)) {
    // A personal room continues where the last page stopped, so that no toast is lost. Others start here.
    result[room] = room.startsWith("invoice:") ? seq : Math.min(kept[room] ?? seq, seq);
  }
  return result;
}

const last = restore();
const early = new Map();
const delivered = [];
let resuming = false;
let resumeAgain = false;
let offlineTimer = 0;

function save() {
  try {
    sessionStorage.setItem(storeKey, JSON.stringify(last));
  } catch {
    // Without storage the page still works; a reload then starts from what it shows.
  }
}

function indicate(state, reason = "") {
  clearTimeout(offlineTimer);
  const [word, hint] = STATES[state];
  for (const element of document.querySelectorAll(".live")) {
    if (element.dataset.state === state && !reason) continue;
    element.dataset.state = state;
    element.title = reason || hint;
    element.lastElementChild.textContent = word;
  }
  if (state === "reconnecting") offlineTimer = setTimeout(() => indicate("offline"), OFFLINE_AFTER_MS);
}

function deliver(event) {
  last[event.room] = event.seq;
  save();
  delivered.push(event);
  // What the page was made with needs no refresh, only its toast.
  const known = event.seq <= (made[event.room] ?? -1);
  if (!known) {
    body.dispatchEvent(new CustomEvent(`live:${event.name}`, { detail: event }));
    body.dispatchEvent(new CustomEvent("live", { detail: event }));
  }
  if (!event.room.startsWith("invoice:")) announce(event);
}

function accept(event) {
  const { room, seq } = event;
  if (!(room in last)) return;
  if (seq <= last[room]) return;
  if (seq > last[room] + 1) {
    if (!early.has(room)) early.set(room, new Map());
    early.get(room).set(seq, event);
    resume();
    return;
  }
  deliver(event);
  const waiting = early.get(room);
  while (waiting?.has(last[room] + 1)) {
    const next = waiting.get(last[room] + 1);
    waiting.delete(next.seq);
    deliver(next);
  }
}

const socket = io({
  transports: ["websocket", "polling"],
  tryAllTransports: true,
  withCredentials: true,
  reconnectionDelay: 300,
  reconnectionDelayMax: 3000,
  timeout: 8000,
});

function reset(rooms, numbers) {
  for (const room of rooms) {
    early.delete(room);
    if (room in (numbers ?? {})) last[room] = numbers[room];
    else delete last[room];
  }
  save();
  body.dispatchEvent(new CustomEvent("live:reset", { detail: { rooms } }));
  // The number to go on from comes with a fresh greeting.
  if (rooms.some((room) => !(room in last))) socket.disconnect().connect();
}

function again(delay) {
  setTimeout(() => { if (socket.connected) resume(); }, delay);
}

function refused({ code, detail }) {
  if (code === "not_found") {
    // A room that is not ours any more: go on without it.
    for (const room of Object.keys(last)) if (room.startsWith("invoice:")) delete last[room];
    again(0);
    return;
  }
  // A session that ended closes the socket by itself; anything else may pass.
  if (code !== "authentication_failed") again(RETRY_MS);
  indicate(code === "authentication_failed" ? "offline" : "reconnecting", detail);
}

function resume() {
  if (resuming) {
    resumeAgain = true;
    return;
  }
  if (!socket.connected || !Object.keys(last).length) return;
  resuming = true;
  socket.timeout(ANSWER_MS).emit("resume", { rooms: { ...last } }, (error, answer) => {
    resuming = false;
    if (error) {
      // The server is deaf, or the line is dead without saying so. (A socket that was cut resumes anew.)
      if (!socket.connected) return;
      indicate("offline");
      socket.disconnect().connect();
      return;
    }
    if (answer?.error) {
      refused(answer.error);
      return;
    }
    for (const event of answer?.events ?? []) accept(event);
    if (answer?.reset?.length) reset(answer.reset, answer.rooms);
    indicate("connected");
    if (resumeAgain) {
      resumeAgain = false;
      resume();
    }
  });
}

socket.on("connected", ({ rooms }) => {
  for (const [room, seq] of Object.entries(rooms ?? {})) if (!(room in last)) last[room] = seq;
  const joins = extraRooms.map((room) => new Promise((resolve) => {
    socket.timeout(ANSWER_MS).emit("join", { room }, (error, answer) => {
      if (!error && answer?.ok && !(room in last)) last[room] = answer.seq;
      if (!error && !answer?.ok) delete last[room];
      resolve();
    });
  }));
  Promise.all(joins).then(() => {
    resuming = false;
    resume();
    look();
  });
});

// Who else is looking at the invoice on this page. Said again and again: whoever falls silent is gone.
const LOOK_MS = 15000;

function showLookers({ room, people }) {
  if (!extraRooms.includes(room)) return;
  const others = (people ?? []).flatMap((person) => {
    if (person.id !== body.dataset.user) return [person.name];
    return person.windows > 1 ? ["you, in another window"] : [];
  });
  for (const element of document.querySelectorAll("[data-looking]")) {
    const words = others.length ? `Also looking at this: ${others.join(", ")}` : "";
    if (element.textContent !== words) element.textContent = words;
    element.hidden = !others.length;
  }
}

function look() {
  if (!socket.connected || body.dataset.role === "investor" || document.hidden) return;
  for (const room of extraRooms.filter((name) => name.startsWith("invoice:"))) {
    socket.timeout(ANSWER_MS).emit("look", { room }, (error, answer) => {
      if (!error && answer?.ok) showLookers({ room, people: answer.people });
    });
  }
}
socket.on("looking", showLookers);
setInterval(look, LOOK_MS);
socket.on("event", accept);
// The server was cut off for a moment, and does not know what it did not hear.
socket.on("resync", resume);
socket.on("problem", ({ detail }) => indicate("offline", detail));
socket.on("disconnect", (reason) => {
  resuming = false;
  resumeAgain = false;
  if (reason !== "io server disconnect") indicate("reconnecting");
  // Sent away by the server (the session ended, or it is closing): the library would not come back by itself.
  else setTimeout(() => socket.connect(), RETRY_MS);
});
socket.on("connect_error", (error) => {
  if (socket.active) {
    if (document.querySelector(".live")?.dataset.state !== "offline") indicate("reconnecting");
    return;
  }
  // Refused rather than unreachable: most often the session has ended elsewhere.
  indicate("offline", `Not connected: ${error.message}`);
  setTimeout(() => socket.connect(), RETRY_REFUSED_MS);
});
setInterval(resume, HEARTBEAT_MS);
window.addEventListener("offline", () => indicate("offline"));
window.addEventListener("online", () => { indicate("reconnecting"); resume(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) { resume(); look(); } });

// For tests and for the curious: what this page has heard, in order.
window.ledgerwire = { delivered, last };

// The page of a reader: one image after the other, every answer kept before the next is shown.

import { Viewer } from "/viewer.js";

const SINGLE = ["Real, certainly", "Real, probably", "Unsure", "Synthetic, probably", "Synthetic, certainly"];
const PAIR = ["Left, certainly", "Left, probably", "Unsure", "Right, probably", "Right, certainly"];
const QUALITY = ["poor", "fair", "usable", "good", "excellent"];
const LETTERS = {
  Atelectasis: "A", Cardiomegaly: "C", Effusion: "E", Infiltration: "L", Mass: "M", Nodule: "N", Pneumonia: "P",
  Pneumothorax: "X", Consolidation: "O", Edema: "D", Emphysema: "Y", Fibrosis: "F", Pleural_Thickening: "T", Hernia: "H",
};
const NONE = "none";
const PAN = 40;

const $ = (id) => document.getElementById(id);
const make = (name, fields, ...children) => {
  const element = Object.assign(document.createElement(name), fields);
  element.append(...children);
  return element;
};
const spoken = (finding) => finding.replaceAll("_", " ");

const viewer = new Viewer($("views"), (state, smooth) => {
  $("window").textContent = `${Math.round(state.zoom * 100)} %   W ${Math.round(state.width)}  L ${Math.round(state.level)}`;
  document.querySelector("[data-tool=invert]").setAttribute("aria-pressed", state.invert);
  document.querySelector("[data-tool=smooth]").setAttribute("aria-pressed", smooth);
});
let session = null; // what the server says of the study and the reader
let current = null; // the screen: position, pair, version, saved answer, steps to undo
let saving = false;
let clock = { ms: 0, since: null };
const ahead = new Map(); // images that were fetched before they are needed

// ---- asking the server

async function ask(method, path, body) {
  const options = { method, headers: {}, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const reply = await fetch(path, options);
  const said = reply.headers.get("content-type")?.includes("json") ? await reply.json() : {};
  if (reply.status === 401) enter();
  return { status: reply.status, ok: reply.ok, ...said };
}

function fetchImages(position, n) {
  const wanted = Array.from({ length: n }, (_, at) => `/api/cases/${position}/images/${at}`);
  return Promise.all(wanted.map(async (path) => {
    const reply = await fetch(path, { cache: "no-store", credentials: "same-origin" });
    if (!reply.ok) throw new Error(`image: ${reply.status}`);
    return createImageBitmap(await reply.blob());
  }));
}

// ---- the clock runs while the page is in view and not paused

function tick() {
  const running = current && !document.hidden && !$("rest").open && !$("case").hidden;
  const now = performance.now();
  if (clock.since !== null) clock.ms += now - clock.since;
  clock.since = running ? now : null;
}

function seconds() {
  tick();
  return Math.min(86400, Math.round(clock.ms) / 1000);
}

// ---- entering and leaving

function show(id) {
  for (const main of ["enter", "case", "done"]) $(main).hidden = main !== id;
  $("bar").hidden = id === "enter";
}

function enter(error = "") {
  tick();
  current = null;
  viewer.clear();
  show("enter");
  $("enter-error").textContent = error;
  $("code").focus();
}

async function begin() {
  const said = await ask("GET", "/api/session");
  if (!said.ok) return;
  session = said;
  document.title = $("title").textContent = session.title;
  options($("findings").querySelector(".chips"), "checkbox", "finding", [
    { value: NONE, text: "No finding", key: "0" },
    ...session.findings.map((name) => ({ value: name, text: spoken(name), key: LETTERS[name] ?? "" })),
  ]);
  options($("quality").querySelector(".scale"), "radio", "quality",
    QUALITY.map((text, at) => ({ value: at + 1, text, key: String(at + 1) })));
  await open(session.next);
}

function options(place, type, name, held) {
  place.replaceChildren(...held.map(({ value, text, key }) => make("label", { className: "option" },
    make("input", { type, name, value }),
    make("span", {}, ...lines(text), ...(key ? [make("kbd", { textContent: key, ariaHidden: "true" })] : [])))));
}

// "Real, probably" on two lines, with the comma for those who hear it.
function lines(text) {
  const [first, second] = text.split(", ");
  return second ? [make("span", { className: "line" }, `${first},`, make("br"), ` ${second}`)] : [text];
}

// ---- one screen

async function open(position) {
  tick();
  busy(true, "");
  if (position >= session.n) {
    busy(false);
    progress(position);
    current = null;
    viewer.clear();
    show("done");
    $("back").focus();
    return;
  }
  const said = await ask("GET", `/api/cases/${position}`).catch(() => ({ ok: false, status: 0 }));
  if (said.status === 401) return busy(false);
  if (!said.ok) return later("The image could not be fetched. Trying again …", () => open(position));
  let images;
  try {
    const n = said.pair ? 2 : 1;
    images = await (ahead.get(position) ?? fetchImages(position, n));
    if (images.length !== n) images = await fetchImages(position, n);
  } catch {
    ahead.delete(position);
    return later("The image could not be fetched. Trying again …", () => open(position));
  }
  ahead.clear();
  busy(false);
  progress(position);
  current = { ...said, steps: [] };
  clock = { ms: 0, since: null };
  show("case");
  question(said);
  notice("");
  $("status").textContent = "";
  const draft = read();
  fill(draft?.answer ?? said.answer);
  if (draft) clock.ms = draft.ms;
  viewer.show(images, said.pair ? ["Left", "Right"] : [""]);
  reveal(said.lesson);
  $("form").scrollTop = 0;
  if (document.documentElement.scrollTop) window.scrollTo(0, 0);
  document.activeElement?.blur?.();
  tick();
  if (position + 1 < session.n) prefetch(position + 1);
}

function prefetch(position) {
  // A pair begins where pairs begin, so the next screen has as many images as this one; if not, it is fetched anew.
  const images = fetchImages(position, current.pair ? 2 : 1);
  images.catch(() => ahead.delete(position));
  ahead.set(position, images);
}

function question(said) {
  const about = said.finding && said.finding !== "No Finding" ? `Both show ${spoken(said.finding)}. ` : "";
  $("question").textContent = said.pair ? `${about}Which one is real?` : "Is this image real?";
  options($("confidence").querySelector(".scale"), "radio", "confidence",
    (said.pair ? PAIR : SINGLE).map((text, at) => ({ value: at + 1, text, key: String(at + 1) })));
  $("confidence").hidden = session.teach;
  $("findings").hidden = said.pair;
  $("quality").hidden = said.pair || session.teach;
  $("comment").parentElement.hidden = session.teach;
  $("practice").hidden = !said.practice;
}

function progress(position) {
  const n = session.n - session.n_practice;
  const at = Math.min(position + 1, session.n);
  $("progress").textContent = position >= session.n ? `${session.n} of ${session.n}` : `${at} of ${session.n}`;
  $("progress").title = session.n_practice ? `${n} count, ${session.n_practice} are practice` : "";
  $("meter").setAttribute("aria-valuemax", session.n);
  $("meter").setAttribute("aria-valuenow", position);
  $("meter").firstElementChild.style.width = `${(100 * position) / session.n}%`;
}

// ---- the form: what it holds, every step of it, what of it is missing

function answer() {
  const chosen = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);
  const [confidence] = chosen("confidence");
  const [quality] = chosen("quality");
  return {
    confidence: confidence ? Number(confidence) : null,
    quality: quality ? Number(quality) : null,
    findings: chosen("finding"),
    comment: $("comment").value,
  };
}

function fill(held) {
  const findings = !held ? [] : held.findings.length || held.draft ? held.findings : [NONE];
  for (const [name, values] of [["confidence", [held?.confidence]], ["quality", [held?.quality]], ["finding", findings]]) {
    for (const input of document.querySelectorAll(`input[name=${name}]`)) {
      input.checked = values.some((value) => String(value) === input.value);
    }
  }
  $("comment").value = held?.comment ?? "";
  current.before = answer();
  for (const field of document.querySelectorAll(".missing")) field.classList.remove("missing");
}

function changed(event) {
  if (!current) return;
  if (event?.target.name === "finding" && event.target.checked) {
    for (const input of document.querySelectorAll("input[name=finding]:checked")) {
      if ((input.value === NONE) !== (event.target.value === NONE)) input.checked = false;
    }
  }
  event?.target.closest?.("fieldset")?.classList.remove("missing");
  if (JSON.stringify(answer()) === JSON.stringify(current.before)) return;
  current.steps.push(current.before);
  current.before = answer();
  keep();
}

function missing() {
  const held = answer();
  const wanted = [
    ["confidence", !session.teach && !held.confidence],
    ["findings", !current.pair && !held.findings.length],
    ["quality", !current.pair && !session.teach && !held.quality],
  ];
  for (const [id, lacks] of wanted) $(id).classList.toggle("missing", lacks);
  return wanted.find(([, lacks]) => lacks)?.[0];
}

async function undo() {
  if (saving) return;
  if (current?.steps.length) {
    const held = current.steps.pop();
    fill({ ...held, draft: true });
    keep();
    $("status").textContent = "Undone.";
  } else {
    const position = current ? current.position : session.n;
    if (position > 0) await open(position - 1);
  }
}

// ---- what is not saved yet outlives a reload, in this tab alone

const place = () => `${session.title}/${session.reader}/${session.teach}/${current.position}/${current.version}`;
function keep() {
  try {
    sessionStorage.setItem("draft", JSON.stringify({ place: place(), answer: { ...answer(), draft: true }, ms: 1000 * seconds() }));
  } catch { /* storage is full or off: then a reload costs the draft */ }
}
function read() {
  try {
    const held = JSON.parse(sessionStorage.getItem("draft"));
    return held?.place === place() ? held : null;
  } catch {
    return null;
  }
}

// ---- saving: nothing is shown as saved before the server says so

async function save() {
  if (!current || saving) return;
  if (current.lesson && JSON.stringify(answer()) === JSON.stringify(current.saved)) return open(current.position + 1);
  const lacks = missing();
  if (lacks) {
    $("status").textContent = "Something is missing.";
    $(lacks).querySelector("input").focus();
    return;
  }
  const held = answer();
  const asked = {
    version: current.version,
    token: [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    seconds: seconds(),
    answer: {
      confidence: held.confidence ?? 3,
      quality: current.pair ? null : held.quality ?? 3,
      findings: current.pair ? [] : held.findings.filter((name) => name !== NONE),
      comment: held.comment,
    },
  };
  busy(true);
  let said;
  for (let tries = 0; ; tries += 1) {
    said = await ask("PUT", `/api/cases/${current.position}`, asked).catch(() => ({ status: 0 }));
    if (said.status && said.status < 500) break;
    notice("Not saved yet: the server does not answer. Your answer is held here and sent again.");
    await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 500 * 2 ** tries)));
  }
  busy(false);
  if (said.status === 401 || !current) return;
  if (said.status === 409) {
    current = { ...current, version: said.version, steps: [] };
    fill(said.answer);
    sessionStorage.removeItem("draft");
    notice("Answered in another window. That answer is shown here; change it or go on.");
    return;
  }
  if (!said.ok) return notice(`Not saved: ${said.error ?? said.status}.`);
  sessionStorage.removeItem("draft");
  session.next = said.next;
  if (said.lesson) {
    Object.assign(current, { version: said.version, lesson: said.lesson, saved: held, steps: [] });
    clock.ms = 0;
    notice("");
    reveal(said.lesson);
    return;
  }
  await open(current.position + 1);
}

// Nothing that is done while an answer is on its way, or an image is, may fall on the wrong image.
function busy(on, why = "Saving …") {
  saving = on;
  $("form").inert = on;
  $("save").disabled = $("undo").disabled = on;
  $("status").textContent = on ? why : "";
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function later(text, action) {
  notice(text);
  $("status").textContent = text;
  setTimeout(action, 2000);
}

// ---- teaching: what the classifier says, after the answer

function reveal(lesson) {
  $("lesson").hidden = !lesson;
  $("save").firstElementChild.textContent = session.teach ? (lesson ? "Next" : "Compare") : "Save, next";
  if (!lesson) return;
  const mine = new Set(answer().findings);
  current.lesson = lesson;
  current.saved = answer();
  const rows = Object.entries(lesson.classifier).sort(([, a], [, b]) => b - a).map(([name, p]) => {
    const present = lesson.present.includes(name);
    return make("tr", { className: present ? "present" : "" },
      make("th", { scope: "row", textContent: spoken(name) }),
      make("td", { textContent: mine.has(name) ? (present ? "you too" : "you") : "" }),
      make("td", {}, make("meter", { value: p, min: 0, max: 1, ariaLabel: `${spoken(name)}: ${Math.round(100 * p)} %` })),
      make("td", { textContent: `${Math.round(100 * p)} %` }));
  });
  const said = lesson.present.map(spoken).join(", ");
  const head = make("h2", { textContent: `The classifier says: ${said}`, tabIndex: -1 });
  const alike = Array.from({ length: lesson.n_alike }, (_, at) => make("img", {
    src: `/api/cases/${current.position}/alike/${at}`, alt: `Another synthetic image with ${spoken(lesson.finding)}` }));
  $("lesson").replaceChildren(head, make("table", {}, make("tbody", {}, ...rows)),
    make("p", { textContent: alike.length ? `The nearest other synthetic images with ${spoken(lesson.finding)}:` : "" }),
    make("div", { className: "alike" }, ...alike),
    make("p", { textContent: "A classifier's opinion is no diagnosis." }));
  head.focus({ preventScroll: true });
  $("lesson").scrollIntoView({ block: "nearest" });
}

// ---- keys

const TOOLS = {
  in: () => viewer.zoom(1.25), out: () => viewer.zoom(0.8), invert: () => viewer.invert(),
  smooth: () => viewer.smoothen(), reset: () => viewer.reset(),
};
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("textarea, #code");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || !session) return;
  if (event.key.toLowerCase() === "u" && (current || !$("done").hidden)) return done(event, undo);
  if (!current || saving || $("case").hidden) return;
  if (event.key === "Enter" && !event.target.matches?.("button")) return done(event, save);
  const digit = /^Digit([0-5])$/.exec(event.code)?.[1] ?? (/^[0-5]$/.test(event.key) ? event.key : null);
  if (digit !== null) return done(event, () => choose(digit === "0" ? "finding" : event.shiftKey ? "quality" : "confidence", digit === "0" ? NONE : digit));
  if (event.key in ARROWS && !event.target.matches?.("input")) {
    const [x, y] = ARROWS[event.key];
    return done(event, () => (event.shiftKey ? viewer.window(-8 * x, -6 * y) : viewer.pan(PAN * x, PAN * y)));
  }
  const tool = { "+": "in", "=": "in", "-": "out", i: "invert", r: "reset", s: "smooth" }[event.key.toLowerCase()];
  if (tool) return done(event, TOOLS[tool]);
  if (event.key === "/") return done(event, () => $("comment").focus());
  if (event.key === "?") return done(event, () => $("keys").showModal());
  if (event.key.toLowerCase() === "b") return done(event, pause);
  const finding = Object.keys(LETTERS).find((name) => LETTERS[name] === event.key.toUpperCase());
  if (finding && !current.pair) done(event, () => choose("finding", finding));
}

function done(event, action) {
  event.preventDefault();
  action();
}

function choose(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${value}"]`);
  if (!input || input.closest("fieldset").hidden) return;
  input.checked = input.type === "radio" ? true : !input.checked;
  changed({ target: input });
}

function pause() {
  $("rest").showModal();
  tick();
}

document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", tick);
window.addEventListener("pagehide", () => current && current.steps.length && keep());
$("rest").addEventListener("close", tick);
$("form").addEventListener("change", changed);
$("form").addEventListener("submit", (event) => done(event, save));
$("undo").addEventListener("click", undo);
$("back").addEventListener("click", undo);
$("pause").addEventListener("click", pause);
$("keys-button").addEventListener("click", () => $("keys").showModal());
$("leave").addEventListener("click", async () => {
  await ask("POST", "/api/leave", {}).catch(() => {});
  sessionStorage.clear();
  enter();
});
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => TOOLS[button.dataset.tool]());
}
$("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = await ask("POST", "/api/enter", { code: $("code").value }).catch(() => ({ status: 0 }));
  if (!said.ok) return enter(said.status ? `Not entered: ${said.error}.` : "The server does not answer.");
  $("code").value = "";
  await begin();
});

await begin().catch(() => enter("The server does not answer."));

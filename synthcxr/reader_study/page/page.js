// The page of a reader. It shows one screen after the other, and saves each answer before it shows the next screen.

import { Viewer } from "/viewer.js";

const SINGLE = ["Real, certainly", "Real, probably", "Unsure", "Synthetic, probably", "Synthetic, certainly"];
const PAIR = ["Left, certainly", "Left, probably", "Unsure", "Right, probably", "Right, certainly"];
const QUALITY = ["poor", "fair", "usable", "good", "excellent"];
const LETTERS = {
  Atelectasis: "A", Cardiomegaly: "C", Effusion: "E", Infiltration: "L", Mass: "M", Nodule: "N", Pneumonia: "P",
  Pneumothorax: "X", Consolidation: "O", Edema: "D", Emphysema: "Y", Fibrosis: "F", Pleural_Thickening: "T", Hernia: "H",
};
const NONE = "none"; // the value of the option "No finding"
const PAN_PX = 40;

const $ = (id) => document.getElementById(id);
const createElement = (name, fields, ...children) => {
  const element = Object.assign(document.createElement(name), fields);
  element.append(...children);
  return element;
};
const toWords = (finding) => finding.replaceAll("_", " ");

const viewer = new Viewer($("views"), (state, smooth) => {
  $("window").textContent = `${Math.round(state.zoom * 100)} %   W ${Math.round(state.width)}  L ${Math.round(state.level)}`;
  document.querySelector("[data-tool=invert]").setAttribute("aria-pressed", state.invert);
  document.querySelector("[data-tool=smooth]").setAttribute("aria-pressed", smooth);
});
let session = null; // the study and the reader, from the server
let current = null; // the screen: position, pair, version, saved answer, steps to undo
let saving = false;
let clock = { ms: 0, since: null };
const prefetched = new Map(); // promises of images by position

// ---- requests to the server

async function request(method, path, body) {
  const options = { method, headers: {}, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const fields = response.headers.get("content-type")?.includes("json") ? await response.json() : {};
  if (response.status === 401) showLogin();
  return { status: response.status, ok: response.ok, ...fields };
}

function fetchImages(position, n) {
  const paths = Array.from({ length: n }, (_, index) => `/api/cases/${position}/images/${index}`);
  return Promise.all(paths.map(async (path) => {
    const response = await fetch(path, { cache: "no-store", credentials: "same-origin" });
    if (!response.ok) throw new Error(`image: ${response.status}`);
    return createImageBitmap(await response.blob());
  }));
}

// ---- clock: runs while the page is visible and not paused

function updateClock() {
  const running = current && !document.hidden && !$("rest").open && !$("case").hidden;
  const now = performance.now();
  if (clock.since !== null) clock.ms += now - clock.since;
  clock.since = running ? now : null;
}

function readSeconds() {
  updateClock();
  return Math.min(86400, Math.round(clock.ms) / 1000);
}

// ---- login and logout

function showMain(id) {
  for (const main of ["enter", "case", "done"]) $(main).hidden = main !== id;
  $("bar").hidden = id === "enter";
}

function showLogin(error = "") {
  updateClock();
  current = null;
  viewer.clear();
  showMain("enter");
  $("enter-error").textContent = error;
  $("code").focus();
}

async function startSession() {
  const response = await request("GET", "/api/session");
  if (!response.ok) return;
  session = response;
  document.title = $("title").textContent = session.title;
  renderOptions($("findings").querySelector(".chips"), "checkbox", "finding", [
    { value: NONE, text: "No finding", key: "0" },
    ...session.findings.map((name) => ({ value: name, text: toWords(name), key: LETTERS[name] ?? "" })),
  ]);
  renderOptions($("quality").querySelector(".scale"), "radio", "quality", numberOptions(QUALITY));
  await openScreen(session.next);
}

function numberOptions(texts) {
  return texts.map((text, index) => ({ value: index + 1, text, key: String(index + 1) }));
}

function renderOptions(container, type, name, items) {
  container.replaceChildren(...items.map(({ value, text, key }) => createElement("label", { className: "option" },
    createElement("input", { type, name, value }),
    createElement("span", {}, ...splitLines(text), ...(key ? [createElement("kbd", { textContent: key, ariaHidden: "true" })] : [])))));
}

// "Real, probably" on two lines. The comma is for screen readers.
function splitLines(text) {
  const [first, second] = text.split(", ");
  return second ? [createElement("span", { className: "line" }, `${first},`, createElement("br"), ` ${second}`)] : [text];
}

// ---- one screen

async function openScreen(position) {
  updateClock();
  setBusy(true, "");
  if (position >= session.n) {
    setBusy(false);
    showProgress(position);
    current = null;
    viewer.clear();
    showMain("done");
    $("back").focus();
    return;
  }
  const screen = await request("GET", `/api/cases/${position}`).catch(() => ({ ok: false, status: 0 }));
  if (screen.status === 401) return setBusy(false);
  if (!screen.ok) return retryLater("Cannot load the image. Trying again …", () => openScreen(position));
  let images;
  try {
    const n = screen.pair ? 2 : 1;
    images = await (prefetched.get(position) ?? fetchImages(position, n));
    if (images.length !== n) images = await fetchImages(position, n);
  } catch {
    prefetched.delete(position);
    return retryLater("Cannot load the image. Trying again …", () => openScreen(position));
  }
  prefetched.clear();
  setBusy(false);
  showProgress(position);
  current = { ...screen, steps: [] };
  clock = { ms: 0, since: null };
  showMain("case");
  showQuestion(screen);
  showNotice("");
  $("status").textContent = "";
  const draft = readDraft();
  fillForm(draft?.answer ?? screen.answer);
  if (draft) clock.ms = draft.ms;
  viewer.show(images, screen.pair ? ["Left", "Right"] : [""]);
  showLesson(screen.lesson);
  $("form").scrollTop = 0;
  if (document.documentElement.scrollTop) window.scrollTo(0, 0);
  document.activeElement?.blur?.();
  updateClock();
  if (position + 1 < session.n) prefetch(position + 1);
}

function prefetch(position) {
  // The next screen usually has the same number of images as this one. If not, openScreen fetches them again.
  const images = fetchImages(position, current.pair ? 2 : 1);
  images.catch(() => prefetched.delete(position));
  prefetched.set(position, images);
}

function showQuestion(screen) {
  const hasFinding = screen.finding && screen.finding !== "No Finding";
  const prefix = hasFinding ? `Both images show ${toWords(screen.finding)}. ` : "";
  $("question").textContent = screen.pair ? `${prefix}Which image is real?` : "Is this image real?";
  renderOptions($("confidence").querySelector(".scale"), "radio", "confidence",
    numberOptions(screen.pair ? PAIR : SINGLE));
  $("confidence").hidden = session.teach;
  $("findings").hidden = screen.pair;
  $("quality").hidden = screen.pair || session.teach;
  $("comment").parentElement.hidden = session.teach;
  $("practice").hidden = !screen.practice;
}

function showProgress(position) {
  const nCounted = session.n - session.n_practice;
  const number = Math.min(position + 1, session.n);
  $("progress").textContent = position >= session.n ? `${session.n} of ${session.n}` : `${number} of ${session.n}`;
  $("progress").title = session.n_practice ? `${nCounted} images count, ${session.n_practice} are practice` : "";
  $("meter").setAttribute("aria-valuemax", session.n);
  $("meter").setAttribute("aria-valuenow", position);
  $("meter").firstElementChild.style.width = `${(100 * position) / session.n}%`;
}

// ---- the form: its answer, undo steps, missing fields

function readAnswer() {
  const getChecked = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);
  const [confidence] = getChecked("confidence");
  const [quality] = getChecked("quality");
  return {
    confidence: confidence ? Number(confidence) : null,
    quality: quality ? Number(quality) : null,
    findings: getChecked("finding"),
    comment: $("comment").value,
  };
}

function fillForm(answer) {
  const findings = !answer ? [] : answer.findings.length || answer.draft ? answer.findings : [NONE];
  const fields = [["confidence", [answer?.confidence]], ["quality", [answer?.quality]], ["finding", findings]];
  for (const [name, values] of fields) {
    for (const input of document.querySelectorAll(`input[name=${name}]`)) {
      input.checked = values.some((value) => String(value) === input.value);
    }
  }
  $("comment").value = answer?.comment ?? "";
  current.before = readAnswer();
  for (const field of document.querySelectorAll(".missing")) field.classList.remove("missing");
}

function onChange(event) {
  if (!current) return;
  if (event?.target.name === "finding" && event.target.checked) {
    for (const input of document.querySelectorAll("input[name=finding]:checked")) {
      if ((input.value === NONE) !== (event.target.value === NONE)) input.checked = false;
    }
  }
  event?.target.closest?.("fieldset")?.classList.remove("missing");
  if (JSON.stringify(readAnswer()) === JSON.stringify(current.before)) return;
  current.steps.push(current.before);
  current.before = readAnswer();
  saveDraft();
}

function markMissing() {
  const answer = readAnswer();
  const fields = [
    ["confidence", !session.teach && !answer.confidence],
    ["findings", !current.pair && !answer.findings.length],
    ["quality", !current.pair && !session.teach && !answer.quality],
  ];
  for (const [id, isMissing] of fields) $(id).classList.toggle("missing", isMissing);
  return fields.find(([, isMissing]) => isMissing)?.[0];
}

async function undo() {
  if (saving) return;
  if (current?.steps.length) {
    fillForm({ ...current.steps.pop(), draft: true });
    saveDraft();
    $("status").textContent = "Undone.";
  } else {
    const position = current ? current.position : session.n;
    if (position > 0) await openScreen(position - 1);
  }
}

// ---- drafts: an answer that is not saved survives a reload of this tab

const draftKey = () => `${session.title}/${session.reader}/${session.teach}/${current.position}/${current.version}`;

function saveDraft() {
  try {
    sessionStorage.setItem("draft", JSON.stringify({
      key: draftKey(), answer: { ...readAnswer(), draft: true }, ms: 1000 * readSeconds(),
    }));
  } catch { /* the storage is full or disabled: a reload loses the draft */ }
}

function readDraft() {
  try {
    const draft = JSON.parse(sessionStorage.getItem("draft"));
    return draft?.key === draftKey() ? draft : null;
  } catch {
    return null;
  }
}

// ---- saving: an answer counts as saved only when the server has confirmed it

async function saveAnswer() {
  if (!current || saving) return;
  if (current.lesson && JSON.stringify(readAnswer()) === JSON.stringify(current.saved)) return openScreen(current.position + 1);
  const missing = markMissing();
  if (missing) {
    $("status").textContent = "The answer is not complete.";
    $(missing).querySelector("input").focus();
    return;
  }
  const answer = readAnswer();
  const body = {
    version: current.version,
    token: [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    seconds: readSeconds(),
    answer: {
      confidence: answer.confidence ?? 3,
      quality: current.pair ? null : answer.quality ?? 3,
      findings: current.pair ? [] : answer.findings.filter((name) => name !== NONE),
      comment: answer.comment,
    },
  };
  setBusy(true);
  let response;
  for (let attempt = 0; ; attempt += 1) {
    response = await request("PUT", `/api/cases/${current.position}`, body).catch(() => ({ status: 0 }));
    if (response.status && response.status < 500) break;
    showNotice("Not saved yet: cannot reach the server. Keep this page open; it will send your answer again.");
    await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 500 * 2 ** attempt)));
  }
  setBusy(false);
  if (response.status === 401 || !current) return;
  if (response.status === 409) {
    current = { ...current, version: response.version, steps: [] };
    fillForm(response.answer);
    sessionStorage.removeItem("draft");
    showNotice("Answered in another window. The form now shows that answer; change it or continue.");
    return;
  }
  if (!response.ok) return showNotice(`Not saved: ${response.error ?? response.status}.`);
  sessionStorage.removeItem("draft");
  session.next = response.next;
  if (response.lesson) {
    Object.assign(current, { version: response.version, lesson: response.lesson, saved: answer, steps: [] });
    clock.ms = 0;
    showNotice("");
    showLesson(response.lesson);
    return;
  }
  await openScreen(current.position + 1);
}

// Disable the form while an answer is sent or an image is fetched, so that no input applies to the wrong image.
function setBusy(on, status = "Saving …") {
  saving = on;
  $("form").inert = on;
  $("save").disabled = $("undo").disabled = on;
  $("status").textContent = on ? status : "";
}

function showNotice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function retryLater(text, action) {
  showNotice(text);
  $("status").textContent = text;
  setTimeout(action, 2000);
}

// ---- teach mode: the classifier's output, after the answer

function showLesson(lesson) {
  $("lesson").hidden = !lesson;
  $("save").firstElementChild.textContent = session.teach ? (lesson ? "Next" : "Compare") : "Save, next";
  if (!lesson) return;
  const marked = new Set(readAnswer().findings);
  current.lesson = lesson;
  current.saved = readAnswer();
  const rows = Object.entries(lesson.classifier).sort(([, a], [, b]) => b - a).map(([name, probability]) => {
    const percent = `${Math.round(100 * probability)} %`;
    return createElement("tr", { className: lesson.present.includes(name) ? "present" : "" },
      createElement("th", { scope: "row", textContent: toWords(name) }),
      createElement("td", { textContent: marked.has(name) ? "marked by you" : "" }),
      createElement("td", {},
        createElement("meter", { value: probability, min: 0, max: 1, ariaLabel: `${toWords(name)}: ${percent}` })),
      createElement("td", { textContent: percent }));
  });
  const present = lesson.present.map(toWords).join(", ");
  const heading = createElement("h2", { textContent: `Classifier: ${present}`, tabIndex: -1 });
  const similar = Array.from({ length: lesson.n_alike }, (_, index) => createElement("img", {
    src: `/api/cases/${current.position}/alike/${index}`, alt: `Another synthetic image with ${toWords(lesson.finding)}` }));
  $("lesson").replaceChildren(heading, createElement("table", {}, createElement("tbody", {}, ...rows)),
    createElement("p", { textContent: similar.length ? `The most similar other synthetic images with ${toWords(lesson.finding)}:` : "" }),
    createElement("div", { className: "alike" }, ...similar),
    createElement("p", { textContent: "The output of a classifier is not a diagnosis." }));
  heading.focus({ preventScroll: true });
  $("lesson").scrollIntoView({ block: "nearest" });
}

// ---- keys

const TOOLS = {
  in: () => viewer.zoomBy(1.25), out: () => viewer.zoomBy(0.8), invert: () => viewer.toggleInvert(),
  smooth: () => viewer.toggleSmoothing(), reset: () => viewer.reset(),
};
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("textarea, #code");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || !session) return;
  if (event.key.toLowerCase() === "u" && (current || !$("done").hidden)) return runAction(event, undo);
  if (!current || saving || $("case").hidden) return;
  if (event.key === "Enter" && !event.target.matches?.("button")) return runAction(event, saveAnswer);
  const digit = /^Digit([0-5])$/.exec(event.code)?.[1] ?? (/^[0-5]$/.test(event.key) ? event.key : null);
  if (digit === "0") return runAction(event, () => toggle("finding", NONE));
  if (digit !== null) return runAction(event, () => toggle(event.shiftKey ? "quality" : "confidence", digit));
  if (event.key in ARROWS && !event.target.matches?.("input")) {
    const [x, y] = ARROWS[event.key];
    return runAction(event, () => (event.shiftKey ? viewer.changeWindow(-8 * x, -6 * y) : viewer.panBy(PAN_PX * x, PAN_PX * y)));
  }
  const tool = { "+": "in", "=": "in", "-": "out", i: "invert", r: "reset", s: "smooth" }[event.key.toLowerCase()];
  if (tool) return runAction(event, TOOLS[tool]);
  if (event.key === "/") return runAction(event, () => $("comment").focus());
  if (event.key === "?") return runAction(event, () => $("keys").showModal());
  if (event.key.toLowerCase() === "b") return runAction(event, pauseSession);
  const finding = Object.keys(LETTERS).find((name) => LETTERS[name] === event.key.toUpperCase());
  if (finding && !current.pair) runAction(event, () => toggle("finding", finding));
}

function runAction(event, action) {
  event.preventDefault();
  action();
}

function toggle(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${value}"]`);
  if (!input || input.closest("fieldset").hidden) return;
  input.checked = input.type === "radio" ? true : !input.checked;
  onChange({ target: input });
}

function pauseSession() {
  $("rest").showModal();
  updateClock();
}

document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", updateClock);
window.addEventListener("pagehide", () => current && current.steps.length && saveDraft());
$("rest").addEventListener("close", updateClock);
$("form").addEventListener("change", onChange);
$("form").addEventListener("submit", (event) => runAction(event, saveAnswer));
$("undo").addEventListener("click", undo);
$("back").addEventListener("click", undo);
$("pause").addEventListener("click", pauseSession);
$("keys-button").addEventListener("click", () => $("keys").showModal());
$("leave").addEventListener("click", async () => {
  await request("POST", "/api/leave", {}).catch(() => {});
  sessionStorage.clear();
  showLogin();
});
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => TOOLS[button.dataset.tool]());
}
$("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await request("POST", "/api/enter", { code: $("code").value }).catch(() => ({ status: 0 }));
  if (!response.ok) return showLogin(response.status ? `Cannot log in: ${response.error}.` : "Cannot reach the server.");
  $("code").value = "";
  await startSession();
});

await startSession().catch(() => showLogin("Cannot reach the server."));

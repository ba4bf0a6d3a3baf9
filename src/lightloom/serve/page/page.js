"use strict";
// The page of a model: fields and results as its capabilities declare them. What an answer has says how it is drawn.
const told = JSON.parse(document.getElementById("told").textContent);
const words = told.words;
const COLOURS = ["#e6194b", "#3cb44b", "#ffb000", "#4363d8", "#f58231", "#911eb4", "#008b9c", "#f032e6", "#6b8e00", "#9a6324"];
const SMALLEST = 480; // pixels of the long side that a picture is drawn with
const LIVE_SIDE = 640; // pixels of the long side of a camera's pictures

const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};
const say = (panel, text, wrong = false) => {
  const status = panel.querySelector(".status");
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
};
const errorText = (error) => told.errors[error.code] || error.message;

function query(panel) {
  const asked = new URLSearchParams({ model: told.model, what: panel.dataset.what });
  for (const field of panel.querySelectorAll("[data-field]")) asked.set(field.name, field.value);
  return asked;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw { code: "offline", message: words.offline };
  }
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw answer.error || { code: "failed", message: words.failed };
  return answer;
}

// --- drawing -------------------------------------------------------------------------------------------------------

const drawers = {
  size: (answer, source) => (source ? [drawn(answer, source)] : []),
  text: (answer) => [element("p", { className: "text", textContent: answer.text || words.no_text })],
  bars: (answer) => [bars(answer.bars)],
  pictures: (answer) => [pictures(answer.pictures)],
  figures: (answer) => [element("table", {}, ...Object.entries(answer.figures).map(([name, value]) => row([words[name] || name, value])))],
  boxes: (answer) => [answer.boxes.length ? boxTable(answer.boxes) : element("p", { textContent: words.nothing })],
};

function show(target, answer, source) {
  const shown = source && !("size" in answer || "pictures" in answer) ? [preview(source)] : [];
  const parts = Object.entries(drawers).flatMap(([name, draw]) => (name in answer ? draw(answer, source) : []));
  target.replaceChildren(...shown, ...parts);
}

function preview(source) { // of what was asked about, where the answer does not show it
  const canvas = element("canvas", { width: source.width, height: source.height });
  canvas.getContext("2d").drawImage(source, 0, 0);
  return element("div", { className: "shown" }, canvas);
}

function row(cells, kind = "td") {
  return element("tr", {}, ...cells.map((cell) => element(kind, { textContent: cell })));
}

function boxTable(boxes) {
  const numbered = boxes.some((box) => "id" in box);
  const head = [words.class, words.score, ...(numbered ? [words.number] : [])];
  const rows = boxes.map((box) => row([box.name, box.score.toFixed(2), ...(numbered ? [box.id] : [])]));
  return element("table", {}, row(head, "th"), ...rows);
}

function bars(list) {
  const parts = list.flatMap(({ name, value }) => [
    element("dt", { textContent: name }),
    element("dd", {}, element("meter", { value, min: 0, max: 1 })),
    element("dd", { className: "value", textContent: `${(100 * value).toFixed(1)} %` }),
  ]);
  return element("dl", { className: "bars" }, ...parts);
}

function pictures(list) {
  const figures = list.map(({ name, words, src }) => {
    const text = words ? words[told.lang] : name;
    return element("figure", {}, element("img", { src, alt: text }), element("figcaption", { textContent: text }));
  });
  return element("div", { className: "small" }, ...figures);
}

function colour(box) {
  const key = "id" in box ? box.id : [...box.name].reduce((sum, c) => sum * 31 + c.codePointAt(0), 7);
  return COLOURS[Math.abs(key) % COLOURS.length];
}

function paint(canvas, answer, source, opacity = 0.5, overlay = null) {
  const [width, height] = answer.size;
  const context = canvas.getContext("2d");
  const factor = Math.max(1, Math.floor(SMALLEST / Math.max(width, height))); // so that words on small pictures can be read
  if (canvas.width !== width * factor || canvas.height !== height * factor) Object.assign(canvas, { width: width * factor, height: height * factor });
  context.setTransform(factor, 0, 0, factor, 0, 0);
  context.imageSmoothingEnabled = factor === 1;
  context.globalAlpha = 1;
  context.drawImage(source, 0, 0, width, height);
  if (overlay) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(overlay, 0, 0, width, height);
    context.globalAlpha = 1;
  }
  const line = Math.max(2, Math.max(width, height) * factor / 400) / factor;
  context.font = `${Math.max(12 / factor, 7 * line)}px system-ui, sans-serif`;
  context.lineWidth = line;
  context.textBaseline = "bottom";
  for (const box of answer.boxes || []) {
    const [left, top, right, bottom] = box.box;
    const name = `${"id" in box ? `${box.id} ` : ""}${box.name} ${box.score.toFixed(2)}`;
    context.strokeStyle = context.fillStyle = colour(box);
    context.strokeRect(left, top, right - left, bottom - top);
    const size = context.measureText(name).width, high = Math.max(14 / factor, 8 * line), at = Math.max(top, high);
    context.fillRect(left, at - high, size + 6, high);
    context.fillStyle = "#fff";
    context.fillText(name, left + 3, at - 1);
  }
}

function drawn(answer, source) {
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", (answer.boxes || []).map((box) => box.name).join(", ") || words.result);
  if (!answer.overlay) {
    paint(canvas, answer, source);
    return canvas;
  }
  const overlay = element("img", { src: answer.overlay });
  const slider = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.5 });
  const again = () => paint(canvas, answer, source, slider.value, overlay);
  overlay.decode().then(again);
  slider.addEventListener("input", again);
  const legend = (answer.legend || []).map(({ name, colour }) => {
    const key = element("span", { textContent: "■ " });
    key.style.color = colour;
    return element("span", {}, key, `${name} `);
  });
  return element("div", {}, canvas, element("label", { textContent: words.opacity }, slider), element("p", {}, ...legend));
}

// --- pictures, text, nothing ---------------------------------------------------------------------------------------

async function upright(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    return null; // a form that the server reads and the browser does not
  }
}

const runs = new WeakMap(); // panel -> the number of its newest question: an answer to an older one is not shown

async function predict(panel, body, source, target = panel.querySelector(".result")) {
  const number = (runs.get(panel) || 0) + 1;
  runs.set(panel, number);
  say(panel, words.working);
  try {
    const answer = await ask(`/api/v1/predict?${query(panel)}`, { method: "POST", body });
    if (runs.get(panel) !== number) return;
    show(target, answer, source);
    say(panel, "");
  } catch (error) {
    if (runs.get(panel) === number) say(panel, errorText(error), true);
  }
}

async function takeFiles(panel, files) {
  stopCamera(panel);
  const target = panel.querySelector(".result");
  target.replaceChildren();
  for (const file of files) {
    if (file.type.startsWith("video/")) {
      await sendFilm(panel, file);
      continue;
    }
    const place = element("div", { className: "result" });
    target.append(place);
    if (files.length > 1) target.append(element("p", { className: "soft", textContent: file.name }));
    const source = await upright(file);
    panel.again = () => predict(panel, file, source, place);
    await panel.again();
  }
}

// --- films ---------------------------------------------------------------------------------------------------------

async function sendFilm(panel, file) {
  say(panel, words.working);
  try {
    const job = await ask(`/api/v1/jobs?${query(panel)}`, { method: "POST", body: file });
    say(panel, "");
    watchFilm(panel.querySelector(".result"), job, file.name);
  } catch (error) {
    say(panel, errorText(error), true);
  }
}

function watchFilm(target, job, name) {
  const state = element("span", { textContent: words[job.state] || job.state });
  const bar = element("progress", { max: 1, value: 0 });
  const cancel = element("button", { type: "button", textContent: words.cancel });
  const card = element("div", { className: "film" }, element("strong", { textContent: name || job.id }), bar, state, cancel);
  target.append(card);
  const events = new EventSource(`/api/v1/jobs/${job.id}/events`);
  cancel.addEventListener("click", () => ask(`/api/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {}));
  events.onmessage = ({ data }) => {
    const now = JSON.parse(data);
    bar.max = now.of || 1;
    bar.value = now.done;
    state.textContent = now.state === "running"
      ? `${now.done}${now.of ? ` / ${now.of}` : ""} ${words.running}, ${now.rate.toFixed(1)}/s${now.left == null ? "" : `, ${Math.ceil(now.left)} ${words.left}`}`
      : words[now.state] || now.state;
    if (["waiting", "running"].includes(now.state)) return;
    events.close();
    cancel.remove();
    if (now.state === "failed" && now.error) state.textContent = errorText(now.error);
    if (now.state !== "done") return;
    const base = `/api/v1/jobs/${job.id}`;
    const links = ["mp4", "csv", "txt"].map((end) => element("a", { href: `${base}/film.${end}`, textContent: end, download: `${job.id}.${end}` }));
    card.append(element("video", { src: `${base}/film.mp4`, controls: true, muted: true }), element("p", {}, ...links.flatMap((link) => [link, " "])));
  };
  events.onerror = () => { state.textContent = words.lost; };
}

// --- camera --------------------------------------------------------------------------------------------------------

async function startCamera(panel, button) {
  if (!navigator.mediaDevices) return say(panel, words.insecure, true);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "environment" } });
  } catch (error) {
    return say(panel, `${words.denied} (${error.name}).`, true);
  }
  const video = element("video", { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live?${new URLSearchParams({ model: told.model })}`);
  const canvas = element("canvas"), frame = element("canvas");
  panel.querySelector(".result").replaceChildren(canvas);
  const live = { stream, socket, times: [], number: 0, sent: 0, stopped: false };
  panel.live = live;
  button.textContent = words.stop;
  const options = () => {
    const { model, what, ...rest } = Object.fromEntries(query(panel));
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ what, options: rest }));
  };
  const send = () => {
    if (live.stopped || !video.videoWidth) return;
    const scale = Math.min(1, LIVE_SIDE / Math.max(video.videoWidth, video.videoHeight));
    Object.assign(frame, { width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale) });
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    frame.toBlob(async (blob) => {
      if (live.stopped || socket.readyState !== WebSocket.OPEN) return;
      const head = new DataView(new ArrayBuffer(4));
      head.setUint32(0, ++live.number);
      live.sent = performance.now();
      socket.send(new Blob([head, blob]));
    }, "image/jpeg", 0.8);
  };
  socket.onopen = () => { options(); send(); };
  socket.onmessage = ({ data }) => {
    const answer = JSON.parse(data), now = performance.now();
    if (answer.error) say(panel, errorText(answer.error), true);
    else if (answer.number === live.number) { // the frame that was sent is the frame that is drawn on
      paint(canvas, answer, frame);
      panel.found = answer;
      live.times = [...live.times.filter((at) => now - at < 2000), now];
      say(panel, `${((live.times.length - 1) / Math.max((now - live.times[0]) / 1000, 0.001)).toFixed(1)} ${words.fps}, ${Math.round(now - live.sent)} ms`);
    }
    send();
  };
  socket.onclose = ({ code }) => {
    if (!live.stopped) { stopCamera(panel); say(panel, code === 1013 ? words.full : words.lost, true); }
  };
  panel.again = options;
}

function stopCamera(panel) {
  const live = panel.live;
  if (!live) return;
  live.stopped = true;
  live.stream.getTracks().forEach((track) => track.stop());
  live.socket.close();
  panel.live = null;
  panel.again = null;
  panel.querySelector("[data-camera]").textContent = words.camera;
  say(panel, "");
}

// --- the page ------------------------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];
function select(tab) {
  for (const one of tabs) {
    const chosen = one === tab, panel = document.getElementById(`panel-${one.dataset.what}`);
    one.setAttribute("aria-selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    panel.hidden = !chosen;
    if (!chosen) stopCamera(panel);
  }
  tab.focus();
}
tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (step) select(tabs[(i + step + tabs.length) % tabs.length]);
  });
});

for (const panel of document.querySelectorAll("[role=tabpanel]")) {
  const takes = told.able[panel.dataset.what].takes;
  const text = panel.querySelector("textarea"), file = panel.querySelector("[type=file]"), drop = panel.querySelector(".drop");
  const go = () => predict(panel, takes === "text" ? text.value : "", null);
  panel.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); if (takes !== "picture") { panel.again = go; go(); } });
  let timer;
  for (const field of panel.querySelectorAll("[data-field]")) {
    field.addEventListener("input", () => {
      const output = field.parentElement.querySelector("output");
      if (output) output.textContent = field.value;
      clearTimeout(timer);
      timer = setTimeout(() => panel.again && panel.again(), 150);
    });
  }
  if (takes === "nothing") panel.again = go;
  if (file) file.addEventListener("change", () => { takeFiles(panel, [...file.files]); });
  if (drop) {
    for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); takeFiles(panel, [...event.dataTransfer.files]); });
  }
  const camera = panel.querySelector("[data-camera]");
  if (camera) camera.addEventListener("click", () => (panel.live ? stopCamera(panel) : startCamera(panel, camera)));
}
const models = document.querySelector(".models");
if (models) models.addEventListener("change", () => {
  document.querySelector("[role=tabpanel]:not([hidden]) .status").textContent = words.loading;
  models.submit();
});
addEventListener("pagehide", () => document.querySelectorAll("[role=tabpanel]").forEach(stopCamera));

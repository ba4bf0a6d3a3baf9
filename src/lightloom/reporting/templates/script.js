"use strict";
for (const figure of document.querySelectorAll(".chart")) {
  const svg = figure.querySelector("svg"), data = JSON.parse(figure.querySelector("script").textContent);
  const tip = figure.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
  const cursor = svg.querySelector(".cursor"), dots = [...svg.querySelectorAll(".dot")];
  const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
  const hide = () => {
    tip.hidden = true;
    for (const mark of [cursor, ...dots]) mark.style.visibility = "hidden";
  };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const all = data.lines.map((line) => nearest(line.points, at));
    const here = all.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
    cursor.setAttribute("x1", here[0]);
    cursor.setAttribute("x2", here[0]);
    cursor.style.visibility = "visible";
    const rows = all.map((point, i) => {
      dots[i].setAttribute("cx", point[0]);
      dots[i].setAttribute("cy", point[1]);
      dots[i].style.visibility = "visible";
      const row = document.createElement("div");
      row.className = "key" + (data.lines[i].dashed ? " dashed" : "");
      row.style.setProperty("--k", `var(--c${data.lines[i].colour})`);
      row.textContent = `${data.lines[i].name} ${point[3]}` + (point[0] === here[0] ? "" : ` (at ${point[2]})`);
      return row;
    });
    tip.replaceChildren(`${data.x_label} ${here[2]}`, ...rows.slice(0, 12));
    tip.hidden = false;
    const frame = figure.getBoundingClientRect(), x = event.clientX - frame.left;
    tip.style.left = Math.max(4, Math.min(x + 14, frame.width - tip.offsetWidth - 4)) + "px";
    tip.style.top = event.clientY - frame.top + 16 + "px";
  });
}
for (const button of document.querySelectorAll(".command button"))
  button.addEventListener("click", () => {
    const text = button.parentElement.querySelector("pre").textContent;
    (navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject()).then(
      () => (button.textContent = "copied"), () => getSelection().selectAllChildren(button.previousElementSibling));
  });
const threshold = document.getElementById("threshold");
if (threshold) {
  const boxes = [...document.querySelectorAll(".box.found")], truths = document.getElementById("truths");
  const show = () => {
    for (const box of boxes) box.classList.toggle("off", Number(box.dataset.score) < Number(threshold.value));
    for (const box of document.querySelectorAll(".box.truth")) box.classList.toggle("off", !truths.checked);
    const shown = boxes.filter((box) => !box.classList.contains("off")).length;
    document.getElementById("shown").textContent = `${Number(threshold.value).toFixed(2)}: ${shown} of ${boxes.length} boxes`;
  };
  threshold.addEventListener("input", show);
  truths.addEventListener("change", show);
  show();
}
const page = document.getElementById("page");
if (page) {
  const pages = [...document.querySelectorAll(".pages figure")];
  const turn = () => pages.forEach((figure, i) => figure.classList.toggle("on", i === Number(page.value)));
  page.addEventListener("input", turn);
  turn();
}

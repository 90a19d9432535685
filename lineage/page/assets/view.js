// What is shown and how near: pan, zoom, selection, highlighting.

const canvas = document.getElementById("canvas");
const stage = document.getElementById("stage");
const note = document.getElementById("note");
const FAR = 0.62, READABLE = 0.62, NEAREST = 2.5;
const camera = { x: 0, y: 0, k: 1 };
let content = { x: 0, y: 0, width: 1, height: 1 };

function look() {
  stage.setAttribute("transform", `translate(${camera.x.toFixed(2)} ${camera.y.toFixed(2)}) scale(${camera.k.toFixed(4)})`);
  stage.classList.toggle("far", camera.k < FAR);
}

/** The scale at which everything is in sight. */
function fitting() {
  const { width: wide, height: high } = canvas.getBoundingClientRect();
  return Math.max(0.05, Math.min(1.25, (wide - 40) / content.width, (high - 40) / content.height));
}

function fit() {
  const { width: wide, height: high } = canvas.getBoundingClientRect();
  camera.k = fitting();
  camera.x = (wide - content.width * camera.k) / 2 - content.x * camera.k;
  camera.y = (high - content.height * camera.k) / 2 - content.y * camera.k;
  look();
}

function zoom(factor, x, y) {
  const area = canvas.getBoundingClientRect();
  const atX = x === undefined ? area.width / 2 : x - area.left;
  const atY = y === undefined ? area.height / 2 : y - area.top;
  const k = Math.min(NEAREST, Math.max(0.05, camera.k * factor));
  camera.x = atX - ((atX - camera.x) * k) / camera.k;
  camera.y = atY - ((atY - camera.y) * k) / camera.k;
  camera.k = k;
  look();
}

function nodeOf(number) {
  return stage.querySelector(`g.node[data-number="${number}"]`);
}

/** Bring a table into sight: moved only where it is out of sight or too small to read. */
function show(number) {
  const node = nodeOf(number);
  if (!node) return;
  if (fitting() >= READABLE && camera.k < 0.9) {
    fit();
    return;
  }
  const area = canvas.getBoundingClientRect();
  const [x, y, wide, high] = ["x", "y", "width", "height"].map((name) => Number(node.dataset[name]));
  const left = x * camera.k + camera.x, top = y * camera.k + camera.y;
  const inSight = left > 10 && top > 10 && left + wide * camera.k < area.width - 10 && top + high * camera.k < area.height - 10;
  if (inSight && camera.k >= FAR) return;
  camera.k = Math.max(camera.k, 0.85);
  camera.x = area.width / 2 - (x + wide / 2) * camera.k;
  camera.y = area.height / 2 - (y + high / 2) * camera.k;
  look();
}

/** Put a drawing on the stage. */
function put(drawn) {
  stage.replaceChildren(drawn);
  content = drawn.getBBox();
  if (!content.width) content = { x: 0, y: 0, width: 1, height: 1 };
}

/** Mark a table's whole lineage and dim the rest; null shows everything alike. */
function mark(number, matches) {
  const up = number === null ? null : reach([number], above);
  const down = number === null ? null : reach([number], below);
  stage.classList.toggle("marked", number !== null || matches !== null);
  for (const node of stage.querySelectorAll("g.node")) {
    const it = Number(node.dataset.number);
    const lit = number !== null ? up.has(it) || down.has(it) : matches === null || matches.has(it);
    node.classList.toggle("lit", lit);
    node.classList.toggle("chosen", it === number);
    node.setAttribute("aria-pressed", String(it === number));
    node.setAttribute("tabindex", "-1");
  }
  for (const edge of stage.querySelectorAll("g.edge")) {
    const from = Number(edge.dataset.from), to = Number(edge.dataset.to);
    const lit = number !== null && ((up.has(from) && up.has(to)) || (down.has(from) && down.has(to)));
    edge.classList.toggle("lit", lit);
    if (lit) edge.parentNode.append(edge); // over the dimmed ones
  }
  for (const node of stage.querySelectorAll("g.node")) node.parentNode.append(node);
  const first = (number !== null && nodeOf(number)) || stage.querySelector("g.node");
  first?.setAttribute("tabindex", "0"); // one stop for Tab; arrows go on from there
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
}, { passive: false });

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button === 0) drag = { x: event.clientX, y: event.clientY, moved: false };
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  if (!drag.moved) canvas.setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, moved: true };
  camera.x += dx;
  camera.y += dy;
  look();
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag?.moved;
  drag = null;
  if (moved) event.stopPropagation();
  canvas.dataset.moved = moved ? "yes" : "";
});

// What is chosen, kept in the address after "#", and everything that changes it.

const state = { number: null, column: null, only: false };
let followed = location.hash;
let drawnKey = null;
let turn = 0;

function readAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const name = wanted.get("dataset");
  const number = name === null ? null : findDataset(name);
  state.number = number === -1 ? null : number;
  state.column = state.number === null ? null : wanted.get("column");
  state.only = state.number !== null && wanted.get("only") === "1";
  note.textContent = number === -1 ? `No dataset is called ${name}.` : "";
}

function choose(number, column = null) {
  const wanted = new URLSearchParams();
  if (number !== null) {
    wanted.set("dataset", address(data.datasets[number]));
    if (column) wanted.set("column", column);
    else if (state.only) wanted.set("only", "1");
  }
  setAddress(wanted);
}

function setAddress(wanted) {
  const hash = wanted.toString();
  if (hash === location.hash.slice(1)) return;
  location.hash = hash;
  follow(); // the event of the change comes when the browser has time: a second key must find what the first one did
}

/** Show what the address says, once. */
function follow() {
  if (location.hash === followed) return;
  followed = location.hash;
  readAddress();
  refresh();
}

/** Draw again where what is shown has changed; `anew` fits it to the window. */
async function refresh({ anew = false } = {}) {
  const mine = ++turn;
  const matches = matchesOf(searchBox.value);
  let shown = shownTables();
  buildList(shown, matches, state.number);
  showDetails(state.number, state.column);
  if (state.number === null) delete document.body.dataset.chosen;
  else document.body.dataset.chosen = "yes";
  const chosen = state.column ? columnKey(state.number, state.column) : null;
  const columns = chosen && new Map([...reachColumns(state.number, state.column, columnsAbove), ...reachColumns(state.number, state.column, columnsBelow)]);
  if (!columns && state.only) shown = new Set([...reach([state.number], above), ...reach([state.number], below)]);
  if (!columns && state.number !== null) shown.add(state.number);
  const key = columns ? `column ${chosen}` : `tables ${[...shown].sort((a, b) => a - b).join(" ")}`;
  if (key !== drawnKey) {
    document.body.dataset.ready = "";
    const drawn = columns ? await layColumns(columns, chosen) : await layTables(shown);
    if (mine !== turn) return;
    const first = drawnKey === null;
    drawnKey = key;
    put(drawn);
    if (anew || first || columns || state.only || !nodeOf(state.number)) fit();
  }
  if (columns) {
    mark(null, null);
    nodeOf(state.number)?.classList.add("chosen");
  } else {
    mark(state.number, matches);
    if (state.number !== null && !state.only) show(state.number);
  }
  const dataset = state.number === null ? null : data.datasets[state.number];
  document.getElementById("crumb").textContent = columns
    ? `Column lineage of ${dataset.label}.${state.column}`
    : dataset ? `${dataset.label}: ${reach([state.number], above).size - 1} upstream, ${reach([state.number], below).size - 1} downstream`
      : matches ? `${matches.size} of ${data.datasets.length} match` : `${shown.size} of ${data.datasets.length} datasets`;
  document.getElementById("back").hidden = state.number === null;
  const only = document.getElementById("only");
  only.hidden = state.number === null || Boolean(columns);
  only.setAttribute("aria-pressed", String(state.only));
  document.title = dataset ? `${dataset.label} – lineage` : "Lineage";
  document.body.dataset.ready = "yes";
}

function back() {
  const wanted = new URLSearchParams();
  if (state.column || state.only) wanted.set("dataset", address(data.datasets[state.number]));
  if (state.number === null && searchBox.value) {
    searchBox.value = "";
    refresh();
  }
  setAddress(wanted);
}

function toggleOnly() {
  if (state.number === null || state.column) return;
  const wanted = new URLSearchParams({ dataset: address(data.datasets[state.number]) });
  if (!state.only) wanted.set("only", "1");
  setAddress(wanted);
}

/** The table to go to from one by an arrow key: along the lineage, or the nearest in that direction. */
function neighbour(number, key) {
  const here = nodeOf(number);
  const middle = (node) => [Number(node.dataset.x) + Number(node.dataset.width) / 2, Number(node.dataset.y) + Number(node.dataset.height) / 2];
  const [x, y] = middle(here);
  let nodes = [...stage.querySelectorAll("g.node")].filter((node) => node !== here);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const linked = key === "ArrowLeft" ? above[number] : below[number];
    nodes = nodes.filter((node) => linked.has(Number(node.dataset.number)));
  } else {
    nodes = nodes.filter((node) => {
      const [nx, ny] = middle(node);
      return (key === "ArrowUp" ? ny < y - 1 : ny > y + 1) && Math.abs(nx - x) < 160;
    });
  }
  const distance = (node) => Math.hypot(middle(node)[0] - x, middle(node)[1] - y);
  return nodes.sort((a, b) => distance(a) - distance(b))[0];
}

const graphBox = document.getElementById("graph");
graphBox.addEventListener("click", (event) => {
  if (canvas.dataset.moved) return;
  const node = event.target.closest("g.node");
  const column = event.target.closest("g.column");
  if (node) choose(Number(node.dataset.number), column ? column.dataset.column : null);
  else if (event.target.closest("svg")) choose(null);
});
graphBox.addEventListener("keydown", (event) => {
  const node = event.target.closest("g.node");
  if (!node) return;
  if (event.key === "Enter" || event.key === " ") {
    choose(Number(node.dataset.number));
    event.preventDefault();
  } else if (event.key.startsWith("Arrow")) {
    const next = neighbour(Number(node.dataset.number), event.key);
    if (next) {
      stage.querySelectorAll("g.node").forEach((other) => other.setAttribute("tabindex", "-1"));
      next.setAttribute("tabindex", "0");
      next.focus({ preventScroll: true });
      show(Number(next.dataset.number));
    }
    event.preventDefault();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, textarea");
  if (event.key === "Escape") {
    back();
    if (typing) searchBox.blur();
  } else if (!typing) {
    const action = { "/": () => searchBox.focus(), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, f: toggleOnly }[event.key];
    if (action) {
      action();
      event.preventDefault();
    }
  }
});
searchBox.addEventListener("input", () => refresh());
searchBox.addEventListener("keydown", (event) => {
  const first = listBox.querySelector(".item");
  if (event.key === "Enter" && first) choose(Number(first.dataset.number));
  if (event.key === "ArrowDown" && first) {
    first.focus();
    event.preventDefault();
  }
});
document.getElementById("back").addEventListener("click", back);
document.getElementById("only").addEventListener("click", toggleOnly);
document.getElementById("zoom-in").addEventListener("click", () => zoom(1.25));
document.getElementById("zoom-out").addEventListener("click", () => zoom(0.8));
document.getElementById("fit").addEventListener("click", fit);
window.addEventListener("hashchange", follow);

window.lineage = { camera, choose, findDataset, nodeOf, shorten }; // for the browser's console and for tests
document.getElementById("about").textContent = `${data.about ? `${data.about}. ` : ""}Made ${madeAt.toLocaleString("en-GB", { timeZone: "UTC", dateStyle: "medium", timeStyle: "short" })} UTC.`;
buildFilters();
readAddress();
refresh().catch((error) => {
  note.textContent = `The graph could not be drawn: ${error.message}`;
  throw error;
});

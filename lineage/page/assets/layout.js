// Where everything stands: Graphviz lays out boxes that hold no text, so that no foreign text passes through its language.

const WIDE = 170, HIGH = 46, LINE = 16, ROW = 24, ROOM = WIDE - 34;
const NARROW = 152; // of a box where there are many
const MANY = 60; // with more tables than this a box is one line high, so that 200 can still be read at once
const SVG = "http://www.w3.org/2000/svg";

const widget = (async () => {
  const text = JSON.parse(document.getElementById("library").textContent);
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
})();

function svg(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The drawing of a graph in Graphviz's language: its <g class="graph">, not in the page yet. */
async function draw(source) {
  const { render } = await widget;
  const place = document.createElement("div");
  document.getElementById("workshop").append(place);
  try {
    const values = { dot_source: source, enable_zoom: false };
    await render({ model: { get: (name) => values[name], on: () => {} }, el: place });
    const drawn = place.querySelector("g.graph").cloneNode(true); // a clone has none of the library's listeners
    drawn.removeAttribute("transform");
    drawn.querySelectorAll("title").forEach((title) => title.remove());
    drawn.querySelectorAll(":scope > polygon").forEach((background) => background.remove());
    return drawn;
  } finally {
    place.remove();
  }
}

const FONT = 'system-ui, "Segoe UI", Helvetica, Arial, sans-serif';
const ruler = document.createElement("canvas").getContext("2d");

function measured(text, size = 13.5, weight = 600) {
  ruler.font = `${weight} ${size}px ${FONT}`;
  return ruler.measureText(text).width;
}

const FILES = /([^/]+)\/\*[^/]*$/; // all files of a folder

/** A text that fits. Of a folder's files it keeps the folder's name: all begin with `raw/` and end with `*.parquet`. */
function shorten(text, room, size, weight) {
  const fits = (part) => measured(part, size, weight) <= room;
  const files = FILES.exec(text);
  if (fits(text) || !files) return shortenMiddle(text, room, size, weight);
  const short = [files[0], `${files[1]}/*`].find(fits);
  return short ?? `${shortenMiddle(files[1], room - measured("/*", size, weight), size, weight)}/*`;
}

/** A text that fits; what is left out is its middle, because names begin and end with what tells them apart. */
function shortenMiddle(text, room, size, weight) {
  if (measured(text, size, weight) <= room) return text;
  let most = text.length - 1;
  const cut = () => `${text.slice(0, Math.floor(most / 3))}…${text.slice(text.length - Math.ceil((most * 2) / 3))}`;
  while (most > 3 && measured(cut(), size, weight) > room) most -= 1;
  const [head, tail] = cut().split("…");
  const word = tail.search(/[_/]/) + 1; // the end begins with a whole word where that leaves enough of it
  return word && tail.length - word >= 5 ? `${head}…${tail.slice(word)}` : `${head}…${tail}`;
}

/** A label in one line, or in two that end where a word of it does. */
function lines(label, compact) {
  if (compact) return [shorten(label, NARROW - 32)];
  if (measured(label) <= ROOM) return [label];
  const words = label.split(/(?<=[_/.])/);
  let first = "";
  while (words.length > 1 && measured(first + words[0]) <= ROOM) first += words.shift();
  return first ? [first, shorten(words.join(""), ROOM)] : [shorten(label, ROOM)];
}

function height(label, compact) {
  return compact ? LINE + 13 : HIGH + (lines(label).length - 1) * LINE;
}

/** Columns of the drawing: one for each layer, more where tables of a layer are made from each other. */
function ranks(shown) {
  const depths = new Map();
  const depth = (number, path) => {
    if (!depths.has(number)) {
      const layer = data.datasets[number].layer;
      const before = [...above[number]].filter((n) => data.datasets[n].layer === layer && shown.has(n) && !path.has(n));
      const further = new Set(path).add(number);
      depths.set(number, before.length ? 1 + Math.max(...before.map((n) => depth(n, further))) : 0);
    }
    return depths.get(number);
  };
  const columns = new Map();
  let base = 0;
  for (const layer of data.layers) {
    const members = [...shown].filter((n) => data.datasets[n].layer === layer);
    for (const number of members) {
      const rank = base + depth(number, new Set());
      if (!columns.has(rank)) columns.set(rank, []);
      columns.get(rank).push(number);
    }
    base += members.length ? 1 + Math.max(...members.map((n) => depths.get(n))) : 0;
  }
  return columns;
}

const inches = (points) => (points / 72).toFixed(3);

/** Tables as boxes; tables of one domain stand together where there are several domains. */
function tablesSource(shown, edges, compact) {
  const text = [
    "digraph lineage {",
    `rankdir=LR; nodesep=${compact ? 0.07 : 0.15}; ranksep=${compact ? 0.32 : 0.42}; bgcolor="transparent"; pad=0;`,
    `node [shape=box, fixedsize=true, label="", width=${inches(compact ? NARROW : WIDE)}]; edge [arrowsize=0.7];`,
  ];
  const columns = ranks(shown);
  text.push(`newrank=true; node [style=invis];`);
  const anchors = [...columns.keys()].sort((a, b) => a - b);
  text.push(`${anchors.map((rank) => `r${rank}`).join(" -> ")} [style=invis];`, "node [style=solid];");
  const domains = new Map();
  for (const number of shown) {
    const domain = data.datasets[number].domain;
    if (!domains.has(domain)) domains.set(domain, []);
    domains.get(domain).push(number);
  }
  for (const [domain, members] of domains) {
    const boxes = members.map((n) => `n${n} [id="n${n}", height=${inches(height(data.datasets[n].label, compact))}];`);
    if (domains.size > 1) {
      const number = data.domains.indexOf(domain);
      text.push(`subgraph cluster_${number} { id="d${number}"; label=" "; fontsize=18; margin=${compact ? 8 : 14};`, ...boxes, "}");
    } else {
      text.push(...boxes);
    }
  }
  for (const [rank, members] of columns) text.push(`{rank=same; r${rank}; ${members.map((n) => `n${n};`).join(" ")}}`);
  for (const { from, to, direct } of edges) {
    text.push(`n${from} -> n${to} [id="e${from}-${to}"${direct ? "" : ', style=dashed'}];`);
  }
  return [...text, "}"].join("\n");
}

/** Tables with some of their columns as rows, and edges between columns. */
function columnsSource(tables, edges) {
  const text = [
    "digraph columns {",
    `rankdir=LR; nodesep=0.3; ranksep=0.8; bgcolor="transparent"; pad=0; node [shape=plain]; edge [arrowsize=0.7];`,
  ];
  for (const [number, columns] of tables) {
    const label = data.datasets[number].label;
    const wide = Math.round(Math.max(WIDE, ...columns.map((name) => Math.min(300, measured(name, 12) + 34))));
    const cell = (port, high) => `<TR><TD ${port} FIXEDSIZE="TRUE" WIDTH="${wide}" HEIGHT="${high}"></TD></TR>`;
    const rows = columns.map((_, i) => cell(`PORT="c${i}"`, ROW)).join("");
    const table = `<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="0">${cell("", height(label))}${rows}</TABLE>`;
    text.push(`n${number} [id="n${number}", label=<${table}>];`);
  }
  for (const [from, source, to, target] of edges) {
    const a = tables.get(from).indexOf(source), b = tables.get(to).indexOf(target);
    text.push(`n${from}:c${a}:e -> n${to}:c${b}:w [id="c${from}-${a}-${to}-${b}"];`);
  }
  return [...text, "}"].join("\n");
}

function box(polygon) {
  const points = polygon.getAttribute("points").trim().split(/\s+/).map((pair) => pair.split(",").map(Number));
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const x = Math.min(...xs), y = Math.min(...ys);
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

/** A table's box with its name, state and checks. */
function dressTable(group, number, { x, y, width: wide }, rows = [], compact = false) {
  const dataset = data.datasets[number];
  const state = stateOf(dataset);
  const failed = failedChecks(dataset);
  const layer = PALETTE.includes(dataset.layer) ? dataset.layer : "other";
  group.replaceChildren();
  group.setAttribute("class", `node layer-${layer} state-${state}${dataset.deleted ? " deleted" : ""}${compact ? " compact" : ""}`);
  group.dataset.number = number;
  group.setAttribute("role", "button");
  group.setAttribute("tabindex", "-1");
  const said = [dataset.label, dataset.place, dataset.layer, STATES[state].word];
  if (dataset.checks.length) said.push(failed ? `${failed} of ${dataset.checks.length} checks failed` : `${counted(dataset.checks.length, "check")} passed`);
  if (dataset.deleted) said.push("deleted");
  group.setAttribute("aria-label", said.join(", "));
  group.append(svg("title", {}, `${dataset.label}\n${said.slice(1).join(" · ")}`));
  const name = lines(dataset.label, compact);
  const low = y + height(dataset.label, compact) - 9;
  const high = height(dataset.label, compact) + rows.length * ROW;
  group.append(svg("rect", { class: "box", x, y, width: wide, height: high, rx: 7 }));
  group.append(svg("rect", { class: "stripe", x: x + 1, y: y + 5, width: 4, height: high - 10, rx: 2 }));
  const title = svg("text", { class: "name", x: x + 13, y: y + 19 });
  name.forEach((part, i) => title.append(svg("tspan", { x: x + 13, dy: i ? LINE : 0 }, part)));
  group.append(title);
  const sign = failed && state === "COMPLETED" ? "!" : STATES[state].sign;
  if (sign) {
    group.append(svg("text", { class: sign === "!" ? "sign bad" : "sign", x: x + wide - 8, y: y + 19, "text-anchor": "end" }, sign));
  }
  markGeometry(group, x, y, wide, high);
  if (compact) return;
  const run = lastRun(dataset);
  const second = run ? `${STATES[state].word} ${age(run.ended_at || run.started_at)}` : dataset.layer;
  group.append(svg("text", { class: "second", x: x + 13, y: low }, second));
  if (dataset.checks.length) {
    const text = failed ? `${failed}/${dataset.checks.length} checks failed` : counted(dataset.checks.length, "check");
    const far = measured(second + text, 11, 500) + 34 > wide;
    const short = failed ? `${failed} ✕` : `${dataset.checks.length} ✓`;
    const mark = svg("text", { class: failed ? "checks bad" : "checks", x: x + wide - 8, y: low, "text-anchor": "end" }, far ? short : text);
    group.append(mark);
  }
}

function markGeometry(group, x, y, width, height) {
  Object.assign(group.dataset, { x, y, width, height });
}

async function layTables(shown) {
  const edges = shownEdges(shown);
  const compact = shown.size > MANY;
  const drawn = await draw(tablesSource(shown, edges, compact));
  for (const group of drawn.querySelectorAll("g.node")) {
    if (!group.id.startsWith("n")) {
      group.remove(); // holds a column's place
      continue;
    }
    const number = Number(group.id.slice(1));
    dressTable(group, number, box(group.querySelector("polygon")), [], compact);
  }
  for (const group of drawn.querySelectorAll("g.cluster")) {
    const area = box(group.querySelector("polygon"));
    const name = data.domains[Number(group.id.slice(1))];
    group.replaceChildren(
      svg("rect", { class: "domain", ...area, rx: 12 }),
      svg("text", { class: "domain-name", x: area.x + 14, y: area.y + 22 }, name),
    );
  }
  for (const group of drawn.querySelectorAll("g.edge")) {
    const [from, to] = group.id.slice(1).split("-").map(Number);
    Object.assign(group.dataset, { from, to });
    group.setAttribute("aria-hidden", "true");
  }
  return drawn;
}

async function layColumns(keys, chosen) {
  const tables = new Map();
  for (const [number, column] of [...keys.values()].sort((a, b) => a[0] - b[0])) {
    if (!tables.has(number)) tables.set(number, []);
    tables.get(number).push(column);
  }
  const order = (number) => new Map(data.datasets[number].columns.map(([name], i) => [name, i]));
  for (const [number, columns] of tables) {
    const places = order(number);
    columns.sort((a, b) => (places.get(a) ?? 1e6) - (places.get(b) ?? 1e6) || a.localeCompare(b));
  }
  const edges = data.columns.filter(([from, source, to, target]) => keys.has(columnKey(from, source)) && keys.has(columnKey(to, target)));
  const drawn = await draw(columnsSource(tables, edges));
  for (const group of drawn.querySelectorAll("g.node")) {
    const number = Number(group.id.slice(1));
    const columns = tables.get(number);
    const cells = [...group.querySelectorAll("polygon")].map(box);
    dressTable(group, number, cells[0], columns);
    columns.forEach((column, i) => {
      const cell = cells[i + 1];
      const row = svg("g", { class: columnKey(number, column) === chosen ? "column chosen" : "column", role: "button", tabindex: "-1" });
      row.setAttribute("aria-label", `Column ${column} of ${data.datasets[number].label}`);
      row.dataset.column = column;
      row.append(svg("rect", { class: "cell", x: cell.x + 6, y: cell.y + 1, width: cell.width - 9, height: cell.height - 3, rx: 4 }));
      row.append(svg("text", { x: cell.x + 14, y: cell.y + 16 }, shorten(column, cell.width - 24, 12, 400)));
      group.append(row);
    });
  }
  for (const group of drawn.querySelectorAll("g.edge")) {
    const [from, a, to, b] = group.id.slice(1).split("-").map(Number);
    Object.assign(group.dataset, { from, to, source: tables.get(from)[a], target: tables.get(to)[b] });
  }
  return drawn;
}

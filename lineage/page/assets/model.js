// The data and walks along it. Nothing here touches the page.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const madeAt = new Date(data.made_at);
const PALETTE = ["source", "raw", "staging", "intermediate", "curated", "mart", "exposure"];
const STATES = {
  COMPLETED: { sign: "✓", word: "completed" },
  FAILED: { sign: "✕", word: "failed" },
  ABORTED: { sign: "⊘", word: "aborted" },
  RUNNING: { sign: "▸", word: "running" },
  NEW: { sign: "○", word: "new" },
  NONE: { sign: "", word: "no run" },
};

const above = data.datasets.map(() => new Set());
const below = data.datasets.map(() => new Set());
for (const [from, to] of data.edges) {
  below[from].add(to);
  above[to].add(from);
}

const columnKey = (dataset, column) => `${dataset} ${column}`;
const columnsAbove = new Map();
const columnsBelow = new Map();
for (const [from, source, to, target] of data.columns) {
  const a = columnKey(from, source), b = columnKey(to, target);
  if (!columnsAbove.has(b)) columnsAbove.set(b, []);
  if (!columnsBelow.has(a)) columnsBelow.set(a, []);
  columnsAbove.get(b).push([from, source]);
  columnsBelow.get(a).push([to, target]);
}

/** Everything reachable from some nodes, the nodes themselves included. */
function reach(start, neighbours) {
  const seen = new Set(start);
  const waiting = [...start];
  while (waiting.length) {
    for (const next of neighbours[waiting.pop()]) {
      if (!seen.has(next)) {
        seen.add(next);
        waiting.push(next);
      }
    }
  }
  return seen;
}

/** Columns reachable from one, itself included: key → [dataset, column]. */
function reachColumns(dataset, column, neighbours) {
  const seen = new Map([[columnKey(dataset, column), [dataset, column]]]);
  const waiting = [...seen.keys()];
  while (waiting.length) {
    for (const next of neighbours.get(waiting.pop()) || []) {
      const key = columnKey(...next);
      if (!seen.has(key)) {
        seen.set(key, next);
        waiting.push(key);
      }
    }
  }
  return seen;
}

/** Edges between shown tables; where tables between them are hidden, one edge stands for the way through them. */
function shownEdges(shown) {
  const edges = [];
  for (const from of shown) {
    const direct = below[from];
    const ends = new Map();
    const seen = new Set([from]);
    const waiting = [...direct].map((to) => [to, true]);
    while (waiting.length) {
      const [to, isDirect] = waiting.pop();
      if (shown.has(to)) {
        ends.set(to, ends.get(to) || isDirect);
      } else if (!seen.has(to)) {
        seen.add(to);
        for (const next of below[to]) waiting.push([next, false]);
      }
    }
    for (const [to, isDirect] of ends) if (to !== from) edges.push({ from, to, direct: isDirect });
  }
  return edges;
}

/** The latest run of the job that writes a table; undefined where none did. */
function lastRun(dataset) {
  const runs = dataset.writers.map((job) => data.jobs[job].runs[0]).filter(Boolean);
  return runs.sort((a, b) => String(b.started_at || b.ended_at).localeCompare(String(a.started_at || a.ended_at)))[0];
}

function stateOf(dataset) {
  return lastRun(dataset)?.state || "NONE";
}

function failedChecks(dataset) {
  return dataset.checks.filter((check) => !check[1]).length;
}

/** Label where it is the only one of this label, else the full name. */
const labels = new Map();
for (const dataset of data.datasets) labels.set(dataset.label, (labels.get(dataset.label) || 0) + 1);
function address(dataset) {
  return labels.get(dataset.label) === 1 ? dataset.label : dataset.name;
}

function findDataset(name) {
  const is = (reading) => data.datasets.findIndex(reading);
  for (const reading of [
    (d) => address(d) === name,
    (d) => `${d.namespace} ${d.name}` === name,
    (d) => d.name === name,
    (d) => d.label === name,
  ]) {
    const found = is(reading);
    if (found >= 0) return found;
  }
  return -1;
}

function age(text) {
  if (!text) return "";
  const seconds = Math.max(0, (madeAt - new Date(text)) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

const grouped = new Intl.NumberFormat("en");
function count(value) {
  return value === null || value === undefined ? "" : grouped.format(value);
}

/** "1 check", "2 checks". */
function counted(value, word) {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

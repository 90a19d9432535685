// The panel on the right: one table, or one column of it. All foreign text is set as text.

const panel = document.getElementById("details");

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), ...children);
}

function link(number) {
  const dataset = data.datasets[number];
  return el("button", { class: `link layer-${PALETTE.includes(dataset.layer) ? dataset.layer : "other"}`, onclick: () => choose(number) },
    el("i", { class: "swatch" }), dataset.label, el("small", {}, ` ${dataset.place}`));
}

function badge(state) {
  return el("span", { class: `badge state-${state}` }, `${STATES[state].sign} ${STATES[state].word}`.trim());
}

function facts(rows) {
  const list = el("dl");
  for (const [name, value] of rows) if (value) list.append(el("dt", {}, name), el("dd", {}, value));
  return list;
}

function runRow(run) {
  const name = run.url ? el("a", { href: run.url, rel: "noreferrer", target: "_blank" }, "run page") : "";
  const when = run.ended_at || run.started_at || "";
  return el("tr", {}, el("td", {}, badge(run.state)), el("td", { title: when }, age(when)), el("td", { class: "number" }, duration(run.duration)),
    el("td", { class: "number" }, Object.values(run.rows).filter((n) => n !== null).map(count).join(", ")), el("td", {}, name));
}

function checksSection(dataset) {
  if (!dataset.checks.length) return null;
  const failed = failedChecks(dataset);
  const list = el("ul", { class: "checks" });
  for (const [name, passed, column, severity] of [...dataset.checks].sort((a, b) => a[1] - b[1])) {
    list.append(el("li", { class: passed ? "" : "bad" }, el("b", {}, passed ? "✓" : "✕"), el("span", {}, name),
      el("small", {}, [column && !name.includes(column) ? ` ${column}` : "", !passed && severity ? ` ${severity}` : ""].join(""))));
  }
  const title = failed ? `Checks: ${failed} of ${dataset.checks.length} failed` : `Checks: ${dataset.checks.length} passed`;
  return section(title, dataset.checks.length > 6 && !failed ? el("details", {}, el("summary", {}, "Show them"), list) : list);
}

function columnsSection(number, chosen) {
  const dataset = data.datasets[number];
  if (!dataset.columns.length) return null;
  const rows = dataset.columns.map(([name, type, description]) => {
    const key = columnKey(number, name);
    const traced = columnsAbove.has(key) || columnsBelow.has(key);
    const button = el("button", { class: "column", "aria-pressed": String(name === chosen), "data-column": name, title: traced ? "Show where it comes from and goes" : "No column lineage is known",
      onclick: () => choose(number, name === chosen ? null : name) }, name);
    return el("tr", { class: name === chosen ? "chosen" : "" }, el("td", {}, button, traced ? "" : el("small", { title: "No column lineage is known" }, " –")),
      el("td", {}, el("code", {}, type)), el("td", {}, description));
  });
  return section(`Columns: ${dataset.columns.length}`, el("p", { class: "hint" }, "A click on a column shows where it comes from and goes."),
    el("table", { class: "columns" }, el("thead", {}, el("tr", {}, el("th", {}, "name"), el("th", {}, "type"), el("th", {}, "description"))), el("tbody", {}, ...rows)));
}

function traceSection(number, column) {
  const lists = [["Comes from", columnsAbove], ["Goes into", columnsBelow]].map(([title, neighbours]) => {
    const keys = reachColumns(number, column, neighbours);
    keys.delete(columnKey(number, column));
    const list = el("ul", { class: "trace" });
    for (const [other, name] of [...keys.values()].sort((a, b) => data.layers.indexOf(data.datasets[a[0]].layer) - data.layers.indexOf(data.datasets[b[0]].layer) || a[0] - b[0])) {
      list.append(el("li", {}, el("button", { class: "link", onclick: () => choose(other, name) }, `${data.datasets[other].label}.${name}`), el("small", {}, ` ${data.datasets[other].layer}`)));
    }
    return [el("h4", {}, `${title}: ${keys.size || "nothing known"}`), list];
  });
  return section(`Column ${column}`, ...lists.flat());
}

function showDetails(number, column) {
  panel.replaceChildren();
  if (number === null) {
    const states = new Map();
    for (const dataset of data.datasets) states.set(stateOf(dataset), (states.get(stateOf(dataset)) || 0) + 1);
    const bad = data.datasets.map((dataset, i) => [dataset, i]).filter(([dataset]) => ["FAILED", "ABORTED"].includes(stateOf(dataset)) || failedChecks(dataset));
    panel.append(el("h2", {}, counted(data.datasets.length, "dataset")),
      facts([["jobs", count(data.jobs.length)], ["layers", data.layers.join(" → ")], ["domains", data.domains.join(", ")],
        ...["COMPLETED", "FAILED", "ABORTED", "RUNNING"].map((state) => [STATES[state].word, count(states.get(state))])]));
    if (bad.length) panel.append(section(`Needs a look: ${bad.length}`, el("ul", { class: "plain" }, ...bad.map(([dataset, i]) =>
      el("li", {}, link(i), " ", badge(stateOf(dataset)), failedChecks(dataset) ? el("small", { class: "bad" }, ` ${counted(failedChecks(dataset), "failed check")}`) : "")))));
    panel.append(section("Keys", facts([["/", "search"], ["← →", "along the lineage"], ["↑ ↓", "tables above and below"], ["Enter", "open"], ["f", "only its lineage"], ["+ − 0", "zoom"], ["Esc", "back"]])));
    return;
  }
  const dataset = data.datasets[number];
  const run = lastRun(dataset);
  const jobs = dataset.writers.map((job) => data.jobs[job]);
  const layer = PALETTE.includes(dataset.layer) ? dataset.layer : "other";
  panel.append(el("h2", {}, dataset.label), el("p", { class: "badges" }, el("span", { class: `badge layer-${layer}` }, dataset.layer), el("span", { class: "badge" }, dataset.domain),
    run ? badge(run.state) : "", dataset.deleted ? el("span", { class: "badge state-FAILED" }, "deleted") : ""));
  if (run && run.error) panel.append(el("div", { class: "error", role: "alert" }, el("b", {}, `${STATES[run.state].word} ${age(run.ended_at)}`), el("pre", {}, run.error)));
  if (column) panel.append(traceSection(number, column));
  if (dataset.description) panel.append(el("p", { class: "description" }, dataset.description));
  panel.append(facts([
    ["owner", (dataset.owners.length ? dataset.owners : jobs.flatMap((job) => job.owners)).join(", ")],
    ["rows", count(dataset.rows)], ["size", bytes(dataset.bytes)], ["files", count(dataset.files)],
    ["last version", dataset.version_at ? `${age(dataset.version_at)} (${count(dataset.versions)} known)` : "none"],
    ["kind", dataset.kind], ["written by", jobs.map((job) => job.name).join(", ")], ["code", jobs.map((job) => job.path).filter(Boolean).join(", ")],
    ["name", dataset.name], ["namespace", dataset.namespace], ["stored in", dataset.uri]]));
  const sides = [["Made from", above[number]], ["Goes into", below[number]]];
  for (const [title, others] of sides) {
    if (others.size) panel.append(section(`${title}: ${others.size}`, el("ul", { class: "plain" }, ...[...others].map((other) => el("li", {}, link(other))))));
  }
  panel.append(...[checksSection(dataset), columnsSection(number, column)].filter(Boolean));
  for (const job of jobs) {
    if (job.runs.length) {
      panel.append(section(`Last runs of ${job.name}`, el("table", { class: "runs" }, el("thead", {}, el("tr", {}, ...["state", "ended", "took", "rows", ""].map((name) => el("th", {}, name)))), el("tbody", {}, ...job.runs.map(runRow)))));
    }
    if (job.sql) panel.append(section("SQL of the last build", el("details", {}, el("summary", {}, counted(job.sql.split("\n").length, "line")), el("pre", { class: "sql", tabindex: "0" }, job.sql))));
  }
}

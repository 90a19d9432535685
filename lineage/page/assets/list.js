// The list on the left: search, filters, and every dataset by layer.

const searchBox = document.getElementById("search");
const listBox = document.getElementById("list");
const hidden = { layer: new Set(), domain: new Set(), state: new Set() };

function shownTables() {
  const shown = new Set();
  data.datasets.forEach((dataset, number) => {
    if (!hidden.layer.has(dataset.layer) && !hidden.domain.has(dataset.domain) && !hidden.state.has(stateOf(dataset))) shown.add(number);
  });
  return shown;
}

function matchesOf(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return null;
  const found = new Set();
  data.datasets.forEach((dataset, number) => {
    const inName = `${dataset.label} ${dataset.name}`.toLowerCase().includes(wanted);
    if (inName || dataset.columns.some(([name]) => name.toLowerCase().includes(wanted))) found.add(number);
  });
  return found;
}

function filterGroup(title, what, values, word = (value) => value) {
  if (values.length < 2) return null;
  const group = el("fieldset", {}, el("legend", {}, title));
  for (const value of values) {
    const layer = what === "layer" ? ` layer-${PALETTE.includes(value) ? value : "other"}` : what === "state" ? ` state-${value}` : "";
    const button = el("button", { class: `chip${layer}`, "aria-pressed": "true", "data-filter": `${what}:${value}`, title: "Click: show or hide. Double click: only this." }, word(value));
    const set = (off) => {
      hidden[what][off ? "add" : "delete"](value);
      button.setAttribute("aria-pressed", String(!off));
    };
    button.addEventListener("click", () => {
      set(!hidden[what].has(value));
      refresh({ anew: true });
    });
    button.addEventListener("dblclick", () => {
      const others = group.querySelectorAll("button.chip");
      hidden[what] = new Set(values.filter((other) => other !== value));
      others.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      refresh({ anew: true });
    });
    group.append(button);
  }
  return group;
}

function buildFilters() {
  const states = Object.keys(STATES).filter((state) => data.datasets.some((dataset) => stateOf(dataset) === state));
  const groups = [
    filterGroup("Layers", "layer", data.layers),
    filterGroup("Domains", "domain", data.domains),
    filterGroup("Last run", "state", states, (state) => `${STATES[state].sign} ${STATES[state].word}`.trim()),
  ];
  document.getElementById("filters").replaceChildren(...groups.filter(Boolean));
}

function buildList(shown, matches, chosen) {
  listBox.replaceChildren();
  for (const layer of data.layers) {
    const members = [...shown].filter((n) => data.datasets[n].layer === layer && (matches === null || matches.has(n)));
    if (!members.length) continue;
    members.sort((a, b) => data.datasets[a].label.localeCompare(data.datasets[b].label));
    const name = PALETTE.includes(layer) ? layer : "other";
    const group = el("div", { role: "group", "aria-label": layer }, el("h2", { class: `layer-${name}` }, el("i", { class: "swatch" }), layer, el("small", {}, ` ${members.length}`)));
    for (const number of members) {
      const dataset = data.datasets[number];
      const state = stateOf(dataset);
      const option = el("div", { role: "option", class: "item", "aria-selected": String(number === chosen), tabindex: "-1", "data-number": number, onclick: () => choose(number) },
        el("span", { class: `sign state-${state}`, title: STATES[state].word }, STATES[state].sign), el("span", { class: "label", title: dataset.name }, dataset.label),
        failedChecks(dataset) ? el("span", { class: "bad", title: "failed checks" }, `${failedChecks(dataset)} ✕`) : "");
      group.append(option);
    }
    listBox.append(group);
  }
  const first = listBox.querySelector('[aria-selected="true"]') || listBox.querySelector(".item");
  first?.setAttribute("tabindex", "0");
  if (!first) listBox.append(el("p", { class: "hint" }, "Nothing matches."));
}

listBox.addEventListener("keydown", (event) => {
  const items = [...listBox.querySelectorAll(".item")];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined && items[to]) {
    items.forEach((item) => item.setAttribute("tabindex", "-1"));
    items[to].setAttribute("tabindex", "0");
    items[to].focus();
    event.preventDefault();
  } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
    choose(Number(items[at].dataset.number));
    event.preventDefault();
  }
});

// The explorer's page: figures, a path, a treemap or columns, a line that says what is pointed at, a table.
// It holds no state of its own: what is drawn comes from `view`, and a click only says where to go.

const STATES = {
  here: "only here",
  shared: "shared",
  idle: "nothing needs it",
  damaged: "damaged",
  other: "other",
};
const COSTS = { fetched: "fetched", reused: "reused from the version before" };
const TABS = { map: "Map", sharing: "Sharing", versions: "Versions" };
const HEADER = 18; // pixels for the name of a rectangle that has others in it
const LEAST = 34; // pixels, each way, from which on those within are drawn

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  // Notebook 7 looks for its shortcuts before a widget hears of a key, unless the focused element says this.
  if (tag === "button" || tag === "summary" || "tabindex" in attributes) node.dataset.lmSuppressShortcuts = "true";
  node.append(...children);
  return node;
}

// Squarified treemap (Bruls, Huizing and van Wijk, 2000): rows of rectangles as square as they can be.
function squarify(parts, box) {
  const left = parts.filter((part) => part.size > 0).sort((a, b) => b.size - a.size);
  let { x, y, w, h } = box;
  let total = left.reduce((sum, part) => sum + part.size, 0);
  const placed = [];
  const worst = (row, sum, side, area) => {
    const thick = (sum * area) / side;
    return Math.max(
      ...[row[0], row[row.length - 1]].map((part) => {
        const long = (part.size * area) / thick;
        return Math.max(long / thick, thick / long);
      }),
    );
  };
  let start = 0;
  while (start < left.length && w > 0 && h > 0) {
    const side = Math.min(w, h);
    const area = (w * h) / total;
    let end = start + 1;
    let sum = left[start].size;
    while (
      end < left.length &&
      worst(left.slice(start, end + 1), sum + left[end].size, side, area) <=
        worst(left.slice(start, end), sum, side, area)
    ) {
      sum += left[end].size;
      end += 1;
    }
    const thick = (sum * area) / side;
    let along = 0;
    for (const part of left.slice(start, end)) {
      const long = (part.size * area) / thick;
      const across = w >= h;
      placed.push({
        part,
        x: across ? x : x + along,
        y: across ? y + along : y,
        w: across ? thick : long,
        h: across ? long : thick,
      });
      along += long;
    }
    if (w >= h) [x, w] = [x + thick, w - thick];
    else [y, h] = [y + thick, h - thick];
    total -= sum;
    start = end;
  }
  return placed;
}

// A name that does not fit loses its middle: both its ends tell more.
function shorten(text, letters) {
  if (text.length <= letters) return text;
  if (letters < 7) return "";
  const tail = Math.ceil((letters - 1) * 0.55);
  return `${text.slice(0, letters - 1 - tail)}\u2026${text.slice(-tail)}`;
}

// Damage is told by the name too: a small damaged file is a thin band in the place that it is in.
function called(part, letters) {
  return shorten(`${part.sizes[3] > 0 ? "! " : ""}${part.name}`, Math.floor(letters));
}

function fill(node, part) {
  const whole = part.sizes.reduce((sum, size) => sum + size, 0);
  const names = Object.keys(STATES);
  const most = part.sizes.indexOf(Math.max(...part.sizes));
  node.classList.add(`sc-is-${names[most]}`);
  if (part.sizes.filter((size) => size > 0).length < 2 || !whole) return;
  let from = 0;
  const bands = part.sizes.map((size, place) => {
    const start = from;
    from += (100 * size) / whole;
    return size ? `var(--sc-${names[place]}) ${start.toFixed(2)}% ${from.toFixed(2)}%` : "";
  });
  node.style.background = `linear-gradient(to top, ${bands.filter(Boolean).join(", ")})`;
  node.classList.add("sc-mixed");
}

function render({ model, el }) {
  el.classList.add("sc-explorer");
  const figures = make("div", { class: "sc-figures", role: "group", "aria-label": "The cache in figures" });
  const path = make("nav", { class: "sc-path", "aria-label": "Where you are" });
  const tabs = make("div", { class: "sc-tabs", role: "group", "aria-label": "What to show" });
  const finding = make("div", { class: "sc-finding" });
  const stage = make("div", { class: "sc-stage", role: "group" });
  const said = make("div", { class: "sc-said", role: "status", "aria-live": "polite" });
  const legend = make("div", { class: "sc-legend", "aria-hidden": "true" });
  const details = make("details", { class: "sc-details" }, make("summary", {}, "As a table"));
  const bar = make("div", { class: "sc-toolbar" }, path, tabs);
  el.append(figures, bar, finding, stage, said, legend, details);
  let focused = null; // id of the rectangle that the keyboard is at, while it is in the map

  const view = () => model.get("view");
  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    model.save_changes();
  };
  const goTo = (id) => {
    focused = focused === null ? null : "";
    set({ at: id });
  };
  const select = (id, several) => {
    const before = model.get("selection");
    if (!several) set({ selection: before.length === 1 && before[0] === id ? [] : [id] });
    else set({ selection: before.includes(id) ? before.filter((one) => one !== id) : [...before, id] });
  };
  const open = (part) => {
    if (part.kind === "more") goTo(part.id);
    else if (part.in) set({ selection: part.kind === "group" ? model.get("selection") : [part.id], at: part.id });
    else select(part.id, false);
  };
  const up = () => {
    const above = view().path;
    if (model.get("at").includes(" > more ")) goTo(above[above.length - 1].id);
    else if (above.length > 1) goTo(above[above.length - 2].id);
  };
  const share = (size) => {
    const part = view().size ? (100 * size) / view().size : 0;
    return part > 0 && part < 1 ? "<1 %" : `${part.toFixed(0)} %`;
  };
  const sentence = (part) => `${part.name}: ${part.said}, ${share(part.size)} of ${view().name}. ${part.text}`;
  const say = (text) => {
    said.textContent = text;
  };

  function drawFigures() {
    figures.replaceChildren(
      ...(view().figures || []).map((one) =>
        make(
          "button",
          {
            class: `sc-figure sc-figure-${one.id}`,
            title: one.hint,
            onclick: () => model.send({ figure: one.id }),
          },
          make("b", {}, one.value),
          make("span", {}, one.name),
        ),
      ),
    );
  }

  function drawPath() {
    const places = view().path || [];
    const crumbs = places.map((one, place) => {
      const last = place === places.length - 1;
      const name = shorten(one.name, 40);
      return make(
        "button",
        { title: one.name, "aria-current": last ? "location" : null, onclick: () => goTo(one.id) },
        place ? name : "All",
      );
    });
    path.replaceChildren(...crumbs.flatMap((one, place) => (place ? [" \u203a ", one] : [one])));
    const now = model.get("tab");
    tabs.replaceChildren(
      ...Object.entries(TABS).map(([id, name]) =>
        make("button", { "aria-pressed": String(id === now), onclick: () => set({ tab: id }) }, name),
      ),
    );
  }

  function drawMap() {
    const width = stage.clientWidth || 640;
    const height = Math.round(Math.min(Math.max(width * 0.5, 300), 460));
    stage.style.height = `${height}px`;
    stage.setAttribute("aria-label", `Map of ${view().name}`);
    const marked = new Set(model.get("marked"));
    const parts = view().parts || [];
    const cells = squarify(parts, { x: 0, y: 0, w: width, h: height }).map((one) => cell(one, marked));
    stage.replaceChildren(...cells);
    if (!cells.length) stage.append(make("p", { class: "sc-nothing" }, "Nothing is stored here."));
    const at = cells.find((one) => one.dataset.id === focused) || cells[0];
    if (at) at.tabIndex = 0;
    if (focused !== null && at) at.focus({ preventScroll: true });
  }

  function cell({ part, x, y, w, h }, marked) {
    const node = make("div", {
      class: "sc-cell",
      role: "button",
      tabindex: "-1",
      "aria-label": sentence(part),
      "aria-pressed": String(marked.has(part.id)),
      "data-id": part.id,
    });
    Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    const within = part.parts && w > LEAST && h > LEAST + HEADER ? part.parts : [];
    if (within.length) {
      node.classList.add("sc-room");
      const box = { x: 2, y: HEADER, w: w - 5, h: h - HEADER - 3 };
      for (const one of squarify(within, box)) node.append(inner(one, marked));
    } else fill(node, part);
    if (marked.has(part.id)) node.classList.add("sc-marked");
    const name = called(part, (w - 10) / (within.length ? 8.2 : 7.4));
    if (name && h > 15) node.prepend(make("span", { class: "sc-name" }, name));
    if (!within.length && h > 32 && w > 52) node.append(make("span", { class: "sc-size" }, part.said));
    node.addEventListener("focus", () => {
      focused = part.id;
      for (const other of stage.children) other.tabIndex = other === node ? 0 : -1;
      say(sentence(part));
    });
    return node;
  }

  function inner({ part, x, y, w, h }, marked) {
    const node = make("div", { class: "sc-inner", "data-id": part.id, "aria-hidden": "true" });
    Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    fill(node, part);
    if (marked.has(part.id)) node.classList.add("sc-marked");
    const name = called(part, (w - 8) / 6.5);
    if (name && h > 14) node.append(make("span", { class: "sc-name" }, name));
    return node;
  }

  function known(id) {
    for (const part of view().parts || []) {
      if (part.id === id) return part;
      for (const one of part.parts || []) if (one.id === id) return one;
    }
    return null;
  }

  function drawColumns() {
    const columns = view().columns || [];
    const most = Math.max(1, ...columns.filter((one) => one.ids.length).map((one) => one.size + one.more));
    const marked = new Set(model.get("selection"));
    const width = stage.clientWidth || 640;
    const longest = Math.max(0, ...columns.map((one) => one.name.length));
    const label = Math.round(Math.min(Math.max(width * 0.36, 96), 330, longest * 7.2 + 8));
    stage.style.height = "";
    const sharing = model.get("tab") === "sharing";
    stage.setAttribute("aria-label", sharing ? "What is shared" : "What each version costs");
    const bars = columns.map((one) => {
      const same = !sharing || one.ids.length === marked.size;
      const on = one.ids.length > 0 && same && one.ids.every((id) => marked.has(id));
      const names = { class: `sc-column${on ? " sc-marked" : ""}`, "aria-pressed": String(on) };
      const fresh = make("span", { class: sharing ? "sc-is-shared" : "sc-is-fetched" });
      const kept = make("span", { class: "sc-is-reused" });
      fresh.style.width = one.ids.length ? `${(100 * one.size) / most}%` : 0;
      kept.style.width = `${(100 * one.more) / most}%`;
      const node = make(
        "button",
        { ...names, "aria-label": `${one.name}: ${one.text}`, onclick: () => pick(one) },
        make("span", { class: "sc-label" }, shorten(one.name, Math.floor(label / 7.2))),
        make("span", { class: "sc-bar-of" }, fresh, kept),
        make("span", { class: "sc-value" }, one.said),
      );
      node.style.gridTemplateColumns = `${label}px 1fr ${width < 480 ? 66 : 84}px`;
      for (const event of ["mouseenter", "focus"]) node.addEventListener(event, () => say(`${one.name}: ${one.text}`));
      return node;
    });
    const none = sharing ? "Nothing is shared by several." : "No versions to compare.";
    stage.replaceChildren(...(bars.length ? bars : [make("p", { class: "sc-nothing" }, none)]));
  }

  function pick(column) {
    const before = model.get("selection");
    if (column.opens) return set({ selection: column.ids, at: column.ids[0] });
    const same = column.ids.length === before.length && column.ids.every((id) => before.includes(id));
    set({ selection: same ? [] : column.ids });
  }

  function drawTable() {
    const parts = view().parts || [];
    const names = Object.values(STATES);
    const rows = parts.map((part) =>
      make(
        "tr",
        {},
        make("td", {}, make("button", { title: part.name, onclick: () => open(part) }, part.name)),
        make("td", {}, part.kind),
        make("td", { class: "sc-number" }, part.said),
        make("td", { class: "sc-number" }, share(part.size)),
        make("td", {}, names.filter((_, place) => part.sizes[place] > 0).join(", ")),
        make("td", {}, part.text),
      ),
    );
    const heads = ["Name", "What", "Size", "Share", "State", "Who needs it"];
    const head = make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one)));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    details.replaceChildren(details.firstChild, make("div", { class: "sc-scroll" }, table));
  }

  function drawLegend() {
    const tab = model.get("tab");
    const names = tab === "versions" ? COSTS : tab === "map" ? STATES : {};
    const shown = tab === "map" ? view().states || [] : Object.keys(names);
    const swatch = (name) => make("i", { class: `sc-swatch sc-is-${name}` });
    legend.replaceChildren(...shown.map((name) => make("span", {}, swatch(name), names[name])));
  }

  function draw() {
    if (!view().path) {
      stage.replaceChildren(make("p", { class: "sc-nothing" }, "Reading the cache."));
      return;
    }
    drawFigures();
    drawPath();
    drawLegend();
    const late = model.get("tab") !== "map" && view().tab !== model.get("tab");
    finding.textContent = model.get("tab") === "map" || late ? "" : view().finding || "";
    if (model.get("tab") === "map") drawMap();
    else if (late) stage.replaceChildren(make("p", { class: "sc-nothing" }, "Counting."));
    else drawColumns();
    if (details.open) drawTable();
    const chosen = model.get("selection");
    say(chosen.length === 1 && known(chosen[0]) ? sentence(known(chosen[0])) : `${view().name}: ${view().text}`);
  }

  stage.addEventListener("click", (event) => {
    const node = event.target.closest("[data-id]");
    const part = node && known(node.dataset.id);
    if (!part) return;
    focused = null;
    if (event.ctrlKey || event.metaKey || event.shiftKey) select(part.id, true);
    else open(part);
  });
  stage.addEventListener("mousemove", (event) => {
    const node = event.target.closest("[data-id]");
    const part = node && known(node.dataset.id);
    if (part) say(sentence(part));
  });
  stage.addEventListener("keydown", (event) => {
    const cells = [...stage.querySelectorAll(".sc-cell")];
    const here = cells.indexOf(document.activeElement);
    if (here < 0) return;
    const part = known(cells[here].dataset.id);
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key in steps) cells[(here + steps[event.key] + cells.length) % cells.length].focus();
    else if (event.key === "Home") cells[0].focus();
    else if (event.key === "End") cells[cells.length - 1].focus();
    else if (event.key === "Enter") open(part);
    else if (event.key === " ") select(part.id, event.ctrlKey || event.shiftKey);
    else if (event.key === "Escape" || event.key === "Backspace") up();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  stage.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !stage.contains(event.relatedTarget)) focused = null;
  });
  details.addEventListener("toggle", () => details.open && drawTable());

  const heard = ["change:view", "change:marked", "change:tab"];
  for (const event of heard) model.on(event, draw);
  let width = 0;
  const watch = new ResizeObserver(() => {
    if (Math.abs(stage.clientWidth - width) > 1) {
      width = stage.clientWidth;
      draw();
    }
  });
  watch.observe(stage);
  draw();
  return () => {
    watch.disconnect();
    for (const event of heard) model.off(event, draw);
  };
}

export { shorten, squarify };
export default { render };

"use strict";
// Makes tables sortable and filterable, and opens what a link leads to. The page is whole without it.
const number = (text) => (text === undefined || text === "" ? -Infinity : Number(text));

function compare(place, numeric, way) {
  const key = (row) => {
    const cell = row.querySelectorAll("td:not(.bar)")[place];
    return numeric ? number(cell.dataset.v) : cell.textContent;
  };
  return (one, other) => {
    const [a, b] = [key(one), key(other)];
    return way * (numeric ? a - b || 0 : a.localeCompare(b, undefined, { numeric: true }));
  };
}

for (const listing of document.querySelectorAll(".listing")) {
  const bodies = [...listing.querySelectorAll("tbody")];
  const rows = bodies.flatMap((body) => [...body.rows]);
  const first = bodies[0].rows.length;
  const more = listing.querySelector("details");
  const heads = [...listing.querySelectorAll("table:first-of-type > thead th:not(.bar)")]
    .filter((head) => head.closest("table") === bodies[0].parentNode);
  if (rows.length < 2) continue;

  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const down = head.ariaSort ? head.ariaSort === "ascending" : numeric;
      for (const one of heads) one.removeAttribute("aria-sort");
      head.ariaSort = down ? "descending" : "ascending";
      rows.sort(compare(place, numeric, down ? -1 : 1));
      bodies[0].append(...rows.slice(0, first));
      if (bodies[1]) bodies[1].append(...rows.slice(first));
    });
  });

  if (rows.length < 8) continue;
  const label = document.createElement("label");
  const box = document.createElement("input");
  const found = document.createElement("output");
  label.className = "filter";
  box.type = "search";
  box.placeholder = "Filter";
  box.setAttribute("aria-label", `Filter: ${listing.getAttribute("aria-label")}`);
  label.append(box, " ", found);
  listing.prepend(label);
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      count += !row.hidden;
    }
    if (more && words.length) more.open = true;
    found.textContent = words.length ? `${count} of ${rows.length}` : "";
  });
}

function open() {
  const target = document.getElementById(location.hash.slice(1));
  const more = target && target.closest("details");
  if (more) more.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", open);
open();

// A long list: only the rows in sight are in the document. `columns` are [title, width, isNumber].
// By the element that they stand in
const lists = new Map();

function longList(host, { label, columns, height = 34, rows, row }) {
  const head = el("div", { class: "vhead", role: "row", "aria-rowindex": "1" },
    columns.map(([title, , numeric]) => el("div", { role: "columnheader", class: numeric ? "num" : null }, title)));
  const body = el("div", { class: "vbody", role: "rowgroup" });
  const inner = el("div", { class: "inner", role: "none" }, el("div", { role: "rowgroup" }, head), body);
  const view = el("div", { class: "vlist", role: "table", tabindex: "0", "aria-label": label, css: { "--cols": columns.map((column) => column[1]).join(" ") } }, inner);
  let first = -1, last = -1, top = 0, planned = false;
  const draw = (force, whole) => {
    const total = rows();
    const from = whole ? 0 : Math.max(0, Math.floor(top / height) - 8);
    const to = whole ? Math.min(total, 1000) : Math.min(total, from + Math.ceil(460 / height) + 18);
    if (!force && from === first && to === last) return;
    [first, last] = [from, to];
    body.style.height = `${(whole ? to : total) * height}px`;
    view.setAttribute("aria-rowcount", total + 1);
    body.replaceChildren();
    for (let number = from; number < to; number++) {
      const { cells, on, act } = row(number);
      const line = el("div", { class: on ? "vrow on" : "vrow", role: "row", "aria-rowindex": number + 2, css: { top: `${number * height}px`, height: `${height}px` } },
        cells.map((content, place) => el("div", { role: "cell", class: columns[place][2] ? "num" : null }, content)));
      if (act) line.addEventListener("click", act);
      body.append(line);
    }
  };
  view.addEventListener("scroll", () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; top = view.scrollTop; draw(false); });
  }, { passive: true });
  const list = {
    draw: (whole) => draw(true, whole),
    show: (number) => {
      if (number * height < top || number * height > top + 380) view.scrollTop = number * height - 200;
    },
  };
  host.append(view);
  lists.set(host, list);
  draw(true);
  return list;
}
addEventListener("beforeprint", () => lists.forEach((list) => list.draw(true)));
addEventListener("afterprint", () => lists.forEach((list) => list.draw()));

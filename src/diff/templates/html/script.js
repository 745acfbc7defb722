
"use strict";
document.documentElement.classList.add("js");

// Tables: a button in each head sorts, the same one again turns the order around.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
    const rows = [...body.rows].sort((a, b) => (down ? compare(key(b), key(a)) : compare(key(a), key(b))));
    body.append(...rows);
  });
}

// Filters: what has all the words stays, folders with what is in them.
function matches(element, words) {
  const text = (element.dataset.text || element.textContent).toLowerCase();
  return words.every((word) => text.includes(word));
}
function filterTree(element, words) {
  let found = 0;
  for (const child of element.children) {
    if (child.matches(".leaf")) {
      child.hidden = !matches(child, words);
      found += child.hidden ? 0 : 1;
    } else if (child.matches("details")) {
      const within = filterTree(child, words);
      child.hidden = within === 0;
      if (words.length > 0 && within > 0) child.open = true;
      found += within;
    }
  }
  return found;
}
for (const input of document.querySelectorAll("input[data-filters]")) {
  const target = document.getElementById(input.dataset.filters);
  const status = input.parentNode.parentNode.querySelector("[role=status]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter((word) => word);
    let shown = 0;
    let all = 0;
    if (target.tagName === "TABLE") {
      for (const row of target.tBodies[0].rows) {
        row.hidden = !matches(row, words);
        shown += row.hidden ? 0 : 1;
        all += 1;
      }
    } else {
      shown = filterTree(target, words);
      all = target.querySelectorAll(".leaf").length;
    }
    status.textContent = words.length > 0 ? `${shown} of ${all}` : "";
  });
}

// The tree of files: arrow keys as in a tree view, one stop for the tab key.
for (const tree of document.querySelectorAll(".tree")) {
  const isShown = (item) => {
    if (item.closest("[hidden]")) return false;
    let folder = (item.matches("summary") ? item.parentNode : item).parentNode.closest("details");
    while (folder && folder.open) folder = folder.parentNode.closest("details");
    return !folder;
  };
  const items = () => [...tree.querySelectorAll("summary, .leaf")].filter(isShown);
  for (const item of tree.querySelectorAll("summary, .leaf")) item.tabIndex = -1;
  const first = tree.querySelector("summary, .leaf");
  if (first) first.tabIndex = 0;
  const go = (item) => {
    if (!item) return;
    for (const other of tree.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  };
  tree.addEventListener("focusin", (event) => {
    if (event.target.matches("summary, .leaf") && event.target.tabIndex !== 0) go(event.target);
  });
  tree.addEventListener("keydown", (event) => {
    const item = event.target.closest("summary, .leaf");
    if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
    const folder = item.matches("summary") ? item.parentNode : null;
    const all = items();
    const at = all.indexOf(item);
    const outer = (folder || item).parentNode.closest("details");
    if (event.key === "ArrowDown") go(all[at + 1]);
    else if (event.key === "ArrowUp") go(all[at - 1]);
    else if (event.key === "Home") go(all[0]);
    else if (event.key === "End") go(all[all.length - 1]);
    else if (event.key === "ArrowRight" && folder) folder.open ? go(all[at + 1]) : (folder.open = true);
    else if (event.key === "ArrowLeft" && folder && folder.open) folder.open = false;
    else if (event.key === "ArrowLeft" && outer && tree.contains(outer)) go(outer.querySelector("summary"));
    else return;
    event.preventDefault();
  });
}

"use strict";
// Verdicts by click or key, kept by the browser, downloaded as a list. The page escapes names; here they are only text.
const cards = [...document.querySelectorAll("article")];
const names = cards.map((card) => card.dataset.clip);
const place = "minirsed.mine " + document.body.dataset.page;
const progress = document.getElementById("progress"), save = document.getElementById("save");
let current = 0, verdicts = {};
try {  // a browser may refuse to keep anything for a file
  verdicts = JSON.parse(localStorage.getItem(place)) || {};
} catch (refused) {}

function list() {
  const rows = names.filter((name) => verdicts[name]).map((name) => name + "," + verdicts[name] + "\n");
  return "clip,verdict\n" + rows.join("");
}

function show() {
  cards.forEach((card, number) => {
    const verdict = verdicts[names[number]];
    card.toggleAttribute("data-verdict", Boolean(verdict));
    if (verdict) card.dataset.verdict = verdict;
    card.toggleAttribute("aria-current", number === current);
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === verdict));
    }
  });
  const done = names.filter((name) => verdicts[name]).length;
  progress.textContent = done + " of " + names.length + " judged";
  save.disabled = done === 0;
  try {
    localStorage.setItem(place, JSON.stringify(verdicts));
  } catch (refused) {}
}

function judge(number, verdict) {
  const name = names[number];
  if (verdicts[name] === verdict) delete verdicts[name];
  else verdicts[name] = verdict;
  show();
}

function go(number, play) {
  current = Math.max(0, Math.min(cards.length - 1, number));
  for (const sound of document.querySelectorAll("audio")) sound.pause();
  show();
  cards[current].scrollIntoView({ block: "nearest" });
  cards[current].focus({ preventScroll: true });
  if (play) listen();
}

function listen() {
  const sound = cards[current].querySelector("audio");
  sound.currentTime = 0;
  sound.play().catch(() => {});  // a browser may want a click first
}

cards.forEach((card, number) => {
  card.addEventListener("click", (event) => {
    if (current !== number) { current = number; show(); }
    const button = event.target.closest("button");
    if (button) judge(number, button.value);
  });
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const verdict = { 1: "event", 2: "not", 3: "unsure" }[event.key];
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const elsewhere = event.target.closest("audio, button, a");
  if (verdict) {
    judge(current, verdict);
    if (verdicts[names[current]] && current < cards.length - 1) go(current + 1, true);
  } else if (step && !(elsewhere && elsewhere.tagName === "AUDIO")) go(current + step, true);
  else if (event.key === " " && !elsewhere) listen();
  else return;
  event.preventDefault();
});

save.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([list()], { type: "text/csv" }));
  link.download = "verdicts.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});

show();

// What plain widgets cannot do: names of apps that act when clicked, Enter in a list, and where the focus goes.

function render({ model, el }) {
  const panel = () => el.closest(".spincache-panel");
  const within = (event) => panel()?.contains(event.target);

  function click(event) {
    const named = within(event) && event.target.closest("[data-app]");
    if (named) model.send({ do: named.dataset.do || "open", app: named.dataset.app });
  }

  function key(event) {
    if (event.key !== "Enter" || !within(event) || !event.target.matches("select[size]")) return;
    model.send({ do: "pull", app: "" });
    event.preventDefault();
  }

  // The focus goes on only from where it was lost, or from the panel: nobody is torn away from a cell.
  function focus({ focus }) {
    requestAnimationFrame(() => {
      const root = panel();
      const found = [...(root?.querySelectorAll(`.${focus}`) || [])].find((one) => one.offsetParent);
      const here = document.activeElement;
      if (!found || (here && here !== document.body && !root.contains(here) && !here.contains(root))) return;
      const target = found.querySelector(":scope > select") || found;
      if (!target.matches("button, input, select")) target.tabIndex = -1;
      target.focus({ preventScroll: true });
      target.scrollIntoView({ block: "nearest" });
    });
  }

  document.addEventListener("click", click);
  document.addEventListener("keydown", key, true);
  model.on("msg:custom", focus);
  return () => {
    document.removeEventListener("click", click);
    document.removeEventListener("keydown", key, true);
    model.off("msg:custom", focus);
  };
}

export default { render };

// Runs before the first paint, so it is no module: a page must not flash in the wrong theme.
try {
  const choice = localStorage.getItem("tradewright.theme");
  if (choice === "dark" || choice === "light") document.documentElement.dataset.theme = choice;
} catch {
  // Without storage the system's theme is right.
}

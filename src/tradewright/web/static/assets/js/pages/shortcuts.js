/** Keys of the chart page; none works while something is being typed. */

/**
 * @param {{onSearch: () => void, onDigit: (digit: string) => void}} handlers
 * @returns {() => void} stops listening
 */
export function listenForShortcuts({ onSearch, onDigit }) {
  const listening = new AbortController();
  document.addEventListener(
    "keydown",
    (pressed) => {
      if (pressed.defaultPrevented || pressed.ctrlKey || pressed.metaKey || pressed.altKey || isTyping()) return;
      if (pressed.key === "/") onSearch();
      else if (/^[1-9]$/.test(pressed.key)) onDigit(pressed.key);
      else return;
      pressed.preventDefault();
    },
    { signal: listening.signal },
  );
  return () => listening.abort();
}

function isTyping() {
  const focused = document.activeElement;
  return focused instanceof HTMLElement && (focused.matches("input, select, textarea") || focused.isContentEditable);
}

/** A page of words: nothing lives on it but the theme. */

import { ThemeToggle } from "../modules/ui/themeToggle.js";

const toggle = new ThemeToggle(() => undefined);
globalThis.addEventListener("pagehide", (left) => left.persisted || toggle.destroy());
